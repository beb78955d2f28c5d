"""Commands of generation, on files."""

import json

import polars as pl
import pytest

from pipelines.cli import main
from recsys_bert.evaluation.generation import generation_metrics

NOUNS = ["ball", "soup", "bank", "song"]
PAIRS = [(f"buy the {noun} {when}", f"{noun} wanted") for noun in NOUNS for when in ("now", "today", "soon")] * 10


@pytest.fixture
def flags(tiny, tmp_path):
    small = ["--encoder.max-len", "16", "--encoder.init-std", "0.2", "--decoding.max-length", "6", "--train.lr", "0.01"]
    tiny = [flag for n, flag in enumerate(tiny) if "--head.dropout" not in tiny[max(0, n - 1) : n + 1]]
    return ["--out", str(tmp_path / "run"), *tiny, *small, "--train.batch-size", "8"]


def test_pairs_from_training_to_new_texts(flags, tmp_path, capsys):
    run, file, out = (tmp_path / name for name in ("run", "pairs.tsv", "out.jsonl"))
    file.write_text("q\ta\n" + "".join(f"{source}\t{target}\n" for source, target in PAIRS))
    columns = ["--source", "q", "--target", "a", "--data.train", str(file), "--data.test", str(file)]
    assert main(["text", "generate", "train", *flags, *columns, "--train.epochs", "8"]) == 0
    results = json.loads((run / "metrics.json").read_text())
    assert results["test"]["exact"] > 0.9
    capsys.readouterr()
    assert main(["text", "generate", "evaluate", "--run", str(run), "--file", str(file), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {name: again[name] for name in results["test"]} == results["test"]
    predict = ["text", "generate", "predict", "--run", str(run)]
    assert main([*predict, "--file", str(file), "--out", str(out), "--decoding.n-best", "2"]) == 0
    frame = pl.read_ndjson(out)
    assert frame["line"].to_list() == [line for line in range(2, 122) for _ in range(2)]
    best = frame.filter(pl.col("rank") == 1)["text"].to_list()
    assert generation_metrics(best, [target for _, target in PAIRS])["bleu"] == results["test"]["bleu"]
    capsys.readouterr()
    assert main([*predict, "--texts", "buy the soup now", "--stream"]) == 0
    assert capsys.readouterr().out == "soup wanted\n"
    names = tmp_path / "names.txt"
    names.write_text("ball song\nsoup soup\n")
    assert main([*predict, "--texts", "buy the soup now", "--among", str(names), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["text"] == "soup soup"
    for more, message in (
        (["--texts", "a", "b", "--stream"], "stream prints one text"),
        (["--texts", "buy", "--stream", "--decoding.search", "beam"], "search 'beam' revises"),
        (["--texts", "buy", "--decoding.top-p", "2"], "top_p is 2.0"),
        ([], "give either texts on the command line or a file"),
    ):
        assert main([*predict, *more]) == 2
        assert message in capsys.readouterr().err


def test_lines_of_text_make_a_language_model(flags, tmp_path, capsys):
    run, file = tmp_path / "run", tmp_path / "lines.txt"
    file.write_text("".join(f"{target}\n\n" for _, target in PAIRS))
    train = ["text", "generate", "train", *flags, "--data.train", str(file), "--train.epochs", "6"]
    assert main([*train, "--text", "text"]) == 0
    capsys.readouterr()
    assert main(["text", "generate", "evaluate", "--run", str(run), "--file", str(file)]) == 0
    assert "perplexity" in capsys.readouterr().out
    assert main(["text", "generate", "predict", "--run", str(run), "--file", str(file), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["answers"]) == 120
    for more, message in (
        (["--text", "text", "--source", "q"], "has no source|no source and target"),
        (["--text", "text", "--train.monitor", "bleu"], "train.monitor is 'bleu'"),
        (["--text", "words"], "column of lines"),
    ):
        assert main([*train, *more, "--out", str(tmp_path / "other")]) == 2
        message, _, other = message.partition("|")
        error = capsys.readouterr().err
        assert message in error or (other and other in error)
    refused = ["text", "generate", "evaluate", "--run", str(run), "--file", str(file), "--target", "x"]
    assert main(refused) == 2
    assert "is a language model" in capsys.readouterr().err
