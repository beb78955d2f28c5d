import json

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.support.flags import load_config
from pipelines.text.match import train
from recsys_bert.errors import InputError

KINDS = {"pay": "pay bill money", "ship": "parcel ship post", "help": "phone call help", "size": "large size wide"}
FILLER = ["how", "do", "i", "the", "my", "is", "what", "can"]


def sentence(random, kind):
    return " ".join(random.permutation([*random.choice(FILLER, 3), *random.choice(KINDS[kind].split(), 2)]))


@pytest.fixture
def files(tmp_path):
    """Pairs that match where both are of one kind, as headerless tsv."""
    paths = {}
    for seed, (name, n) in enumerate({"train": 240, "validation": 60, "test": 60}.items()):
        random, lines = np.random.default_rng(seed), []
        for _ in range(n):
            one, other = random.choice(sorted(KINDS), 2)
            other = one if random.random() < 0.5 else other
            lines.append(f"{sentence(random, one)}\t{sentence(random, other)}\t{int(one == other)}\n")
        paths[name] = tmp_path / f"{name}.txt"
        paths[name].write_text("".join(lines))
    return paths


@pytest.fixture
def flags(files, tiny, tmp_path):
    file_flags = [flag for name, path in files.items() for flag in (f"--data.{name}", str(path))]
    columns = ["--data.format", "tsv", "--data.columns", "first", "second", "label"]
    return ["--out", str(tmp_path / "run"), *file_flags, *columns, *tiny, "--train.patience", "0"]


def test_a_bi_encoder_from_training_to_search(flags, files, tmp_path, capsys):
    run, index = tmp_path / "run", tmp_path / "index"
    way = ["--task.form", "bi", "--task.loss", "ranking", "--train.epochs", "6"]
    assert main(["text", "match", "train", *flags, *way]) == 0
    results = json.loads((run / "metrics.json").read_text())
    assert results["test"]["accuracy"] > 0.85
    assert results["test"]["mrr"] > 0.1
    capsys.readouterr()
    assert main(["text", "match", "evaluate", "--run", str(run), "--file", str(files["test"]), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["accuracy"] == results["test"]["accuracy"]
    assert again["threshold"] == results["threshold"]
    own = ["--file", str(files["test"]), "--threshold", "-1", "--json"]  # every pair reaches it
    assert main(["text", "match", "evaluate", "--run", str(run), *own]) == 0
    every = json.loads(capsys.readouterr().out)
    assert (every["threshold"], every["recall"], every["precision"]) == (-1, 1, pytest.approx(1 / 2, abs=0.1))
    assert every["auc"] == again["auc"]
    assert main(["text", "match", "predict", "--run", str(run), "--texts", "pay", "pay", "--threshold", "2"]) == 2
    assert "threshold is 2.0; similarities lie in [0, 1]" in capsys.readouterr().err

    assert (
        main(["text", "match", "predict", "--run", str(run), "--texts", "pay the bill", "my money bill", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["answers"][0]["match"] is True

    known = tmp_path / "known.tsv"
    known.write_text("question\nhow pay my bill\npost the parcel\ncall help phone\nhow pay my bill\n")
    make = ["text", "match", "index", "--run", str(run), "--file", str(known), "--text", "question"]
    read = ["--read.columns", "--out", str(index)]
    assert main([*make, *read]) == 0
    capsys.readouterr()
    queries = ["--texts", "ship a parcel", "money bill"]
    assert (
        main(["text", "match", "search", "--run", str(run), "--index", str(index), "--k", "9", "--json", *queries]) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed["indexed"] == 3
    best = [(one["text"], one["line"]) for one in printed["answers"] if one["rank"] == 1]
    assert best == [("post the parcel", 3), ("how pay my bill", 2)]
    assert len(printed["answers"]) == 6

    other = tmp_path / "other"
    assert (
        main(["text", "match", "train", *flags, *way, "--train.seed", "1", "--out", str(other), "--train.epochs", "1"])
        == 0
    )
    capsys.readouterr()
    assert main(["text", "match", "search", "--run", str(other), "--index", str(index), "--texts", "x"]) == 2
    assert "was made with the run 'run', or with other weights" in capsys.readouterr().err


def test_a_cross_encoder(files, flags, tmp_path):
    for path in files.values():  # a match is a second text about paying: all that a layer can learn in a second
        pairs = [line.split("\t")[:2] for line in path.read_text().splitlines()]
        labels = [int(any(word in second for word in KINDS["pay"].split())) for _, second in pairs]
        path.write_text("".join(f"{a}\t{b}\t{label}\n" for (a, b), label in zip(pairs, labels, strict=True)))
    way = ["--task.threshold", "f1", "--task.class-weights", "balanced", "--train.epochs", "5"]
    results = train.run(load_config(train.Config, [*flags, *way]))
    assert results["test"]["examples"] == 60
    assert results["test"]["f1"] > 0.9
    assert "mrr" not in results["test"]


def test_matches_alone_are_enough_in_batches(files, flags, tmp_path, capsys):
    matches = {name: tmp_path / f"{name}-matches.tsv" for name in ("train", "validation")}
    for name, path in matches.items():
        lines = [line.rsplit("\t", 1)[0] for line in files[name].read_text().splitlines() if line.endswith("1")]
        path.write_text("\n".join(["first\tsecond", *lines]))
    way = ["--task.form", "bi", "--task.loss", "in_batch", "--train.monitor", "mrr", "--label", "None"]
    file_flags = [flag for name, path in matches.items() for flag in (f"--data.{name}", str(path))]
    at = flags.index("--data.format")
    recipe = ["--out", str(tmp_path / "run"), *file_flags, *flags[at + 6 :], *way, "--train.epochs", "4"]
    results = train.run(load_config(train.Config, recipe))
    assert results["best"] > 0.15  # of some 30 texts, a fourth are of the kind
    assert results["threshold"] is None
    printed = ["--run", str(tmp_path / "run"), "--texts", "pay the bill", "my money bill", "--json"]
    for flags_of, match in (([], None), (["--threshold", "-0.99"], True)):
        capsys.readouterr()
        assert main(["text", "match", "predict", *printed, *flags_of]) == 0
        assert json.loads(capsys.readouterr().out)["answers"][0].get("match") is match
    measured = ["--run", str(tmp_path / "run"), "--file", str(matches["train"]), "--threshold", "0.5"]
    assert main(["text", "match", "evaluate", *measured]) == 2
    assert "threshold is given, but no label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--label", "None"], r"task\.loss 'labels' needs labels"),
        (["--train.monitor", "mrr"], r"this task validates accuracy, f1, auc\."),
        (
            ["--data.columns", "first", "label", "second"],
            "240 of the 240 labels .*but a matcher learns",
        ),
    ],
)
def test_what_does_not_fit_is_refused(flags, change, message):
    with pytest.raises(InputError, match=message):
        train.run(load_config(train.Config, [*flags, *change]))


def test_an_index_goes_nowhere_else(tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    flags = ["--run", str(tmp_path), "--file", str(tmp_path / "a.tsv"), "--out", str(tmp_path / "other")]
    assert main(["text", "match", "index", *flags]) == 2
    assert "is there and holds no indexed texts" in capsys.readouterr().err
    (tmp_path / "other" / "texts.jsonl").write_text("")
    assert main(["text", "match", "index", *flags]) == 2
    assert "holds other things as well (file)" in capsys.readouterr().err
    assert main(["text", "match", "search", "--run", str(tmp_path), "--index", str(tmp_path), "--texts", "x"]) == 2
    assert "holds no indexed texts" in capsys.readouterr().err
