"""Commands of sentence vectors: train, evaluate, encode."""

import json

import numpy as np
import polars as pl
import pytest

from nlp_tasks import TextEncoder
from pipelines.cli import main

KINDS = {"pay": "pay bill money", "ship": "parcel ship post", "help": "phone call help"}


@pytest.fixture
def files(tmp_path):
    """Graded pairs in STS-B's seven columns, and their texts, one a line."""
    random, rows = np.random.default_rng(0), []
    for n in range(150):
        one, other = random.choice(sorted(KINDS), 2)
        texts = [" ".join(random.permutation(["how", "do", "i", *KINDS[kind].split()])) for kind in (one, other)]
        rows.append(["main", "made-up", "2012", str(n), f"{5.0 if one == other else 1.0:.3f}", *texts])
    paths = {name: tmp_path / name for name in ("train.csv", "texts.txt")}
    paths["train.csv"].write_text("".join("\t".join(row) + "\n" for row in rows))
    paths["texts.txt"].write_text("".join(f"{row[5]}\n" for row in rows))
    return paths


def test_graded_pairs_from_training_to_vectors(files, tiny, tmp_path, capsys):
    run, out = str(tmp_path / "run"), tmp_path / "vectors.parquet"
    file = str(files["train.csv"])
    assert main(["text", "embed", "train", "--out", run, "--data.train", file, *tiny, "--train.epochs", "3"]) == 0
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert results["loss"] == "cosent"
    assert results["validation"]["auc"] > 0.9
    capsys.readouterr()
    assert main(["text", "embed", "evaluate", "--run", run, "--file", file, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["examples"] == 150
    assert metrics["auc"] > 0.9
    assert main(["text", "embed", "encode", "--run", run, "--file", str(files["texts.txt"]), "--out", str(out)]) == 0
    frame = pl.read_parquet(out)
    expected = TextEncoder.load(run).encode(frame["text"].to_list())
    np.testing.assert_allclose(np.array(frame["vector"].to_list()), expected, rtol=1e-6)
    assert main(["text", "embed", "encode", "--run", run, "--texts", "pay", "--normalise", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out.splitlines()[-1])["answers"]
    assert np.linalg.norm(answer["vector"]) == pytest.approx(1)


def test_texts_alone_are_trained_by_simcse(files, tiny, tmp_path, capsys):
    run = ["text", "embed", "train", "--out", str(tmp_path / "run"), "--data.train", str(files["texts.txt"]), *tiny]
    assert main([*run, "--data.test", str(files["texts.txt"])]) == 2
    assert "has texts alone; vectors are judged on pairs" in capsys.readouterr().err
    assert main([*run, "--encoder.dropout", "0.1", "--train.epochs", "1"]) == 0
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (results["loss"], results["best"]) == ("simcse", None)


def test_post_processing_and_distillation_write_folders_that_evaluate_reads(files, tiny, tmp_path, capsys):
    run, file = str(tmp_path / "run"), str(files["train.csv"])
    texts = str(files["texts.txt"])
    assert main(["text", "embed", "train", "--out", run, "--data.train", file, *tiny, "--train.epochs", "1"]) == 0
    fit = ["text", "embed", "post-process", "--run", run, "--file", texts, "--out", str(tmp_path / "white")]
    assert main([*fit, "--options", '{"width": 3}']) == 0
    distil = ["text", "embed", "distil", "--run", run, "--file", texts, "--out", str(tmp_path / "static")]
    assert main([*distil, "--dim", "4"]) == 0
    for folder, width in (("white", 3), ("static", 4)):
        capsys.readouterr()
        run = str(tmp_path / folder)
        assert main(["text", "embed", "evaluate", "--run", run, "--file", file, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["examples"] == 150
        assert main(["text", "embed", "encode", "--run", run, "--texts", "pay", "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["answers"][0]["vector"]) == width
    export = ["text", "export", "--run", str(tmp_path / "static"), "--out", str(tmp_path / "out"), "--to"]
    assert main([*export, "transformers"]) == 2
    assert "holds static vectors, which transformers has no model for" in capsys.readouterr().err
    assert main([*export, "sentence-transformers"]) == 0
