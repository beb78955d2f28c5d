"""Entities from a dictionary and text without labels."""

import json

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.support.flags import load_config
from pipelines.text.tag import train
from recsys_bert.errors import InputError

SYLLABLES = [a + b for a in "bdkmrt" for b in "aeiou"]
NAMES = {  # so many that a name by itself is hardly ever seen twice
    "LOC": [first + second for first in SYLLABLES[:8] for second in SYLLABLES],
    "PER": [first + second for first in SYLLABLES[15:23] for second in SYLLABLES],
}
BEFORE = {"LOC": "in", "PER": "by"}
FILLER = ["the", "a", "of", "and", "to", "on", "with", "for", "at", "from"]
QUICK = [
    *("--encoder.init-std", "0.3", "--tokenizer.vocab-size", "60", "--train.lr", "2e-2", "--train.batch-size", "8"),
    *("--train.epochs", "14", "--pu.warm-up", "5", "--pu.weight", "3"),
]
PRIORS = ["--pu.priors", '{"LOC": 0.11, "PER": 0.11}']
STOPS = (40, 100)  # batches, within the first round and within the second


def marked_lines(n, seed):
    """Sentences of filler with an entity of each type behind its own word, one word and its IOB2 tag a line."""
    random, lines = np.random.default_rng(seed), []
    for _ in range(n):
        for kind in random.permutation(sorted(NAMES)):
            lines += [f"{word} O" for word in random.choice(FILLER, int(random.integers(1, 4)))]
            lines += [f"{BEFORE[kind]} O", f"{random.choice(NAMES[kind])} B-{kind}"]
        lines += ["and O", ""]
    return "\n".join(lines)


@pytest.fixture
def files(tmp_path):
    text, test, dictionary = tmp_path / "text.txt", tmp_path / "test.iob2", tmp_path / "names.tsv"
    sentences = marked_lines(150, 0).split("\n\n")
    text.write_text("\n".join(" ".join(line.split()[0] for line in one.splitlines()) for one in sentences))
    test.write_text(marked_lines(40, 1))
    rows = [f"{name}\t{kind}" for kind, names in NAMES.items() for name in names[::3]]
    dictionary.write_text("\n".join(rows) + "\n")
    return {"train": text, "test": test, "dictionary": dictionary}


@pytest.fixture
def flags(files, tiny, tmp_path):
    data = ["--data.train", str(files["train"]), "--data.test", str(files["test"]), "--data.scheme", "iob2"]
    data += ["--pu.dictionary", str(files["dictionary"]), "--head.name", "binary"]
    return ["--out", str(tmp_path / "run"), *data, *tiny, *QUICK]


def trained(flags, *more):
    return train.run(load_config(train.Config, [*flags, *more]))


@pytest.mark.slow
def test_names_that_the_dictionary_lacks_are_found(flags, files, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["text", "tag", "train", *flags, *PRIORS]) == 0
    printed = capsys.readouterr().err
    assert "160 entries match" in printed
    assert "prior 11.00 % (set)" in printed
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["best"] is None  # nothing is held out
    assert metrics["matching"]["test"]["precision"] == 1.0
    assert metrics["test"]["recall"] > metrics["matching"]["test"]["recall"] + 0.2
    assert metrics["test"]["f1"] > metrics["matching"]["test"]["f1"] + 0.1
    (only,) = metrics["pu"]["rounds"]
    assert only["entries"] == 160
    assert only["matches"] == sum(only["matches_by_type"].values()) > 60
    assert metrics["examples"] == {"train": 150, "test": 40}

    assert main(["text", "tag", "evaluate", "--run", str(run), "--file", str(files["test"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == metrics["test"]["f1"]
    assert main(["text", "tag", "predict", "--run", str(run), "--texts", "the a in baku and", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert {(one["text"], one["type"]) for one in answer["entities"]} <= {("baku", "LOC")}


@pytest.mark.slow
def test_the_biased_risk_misses_what_the_dictionary_lacks(flags):
    results = trained(flags, "--pu.risk", "biased", "--pu.weight", "1")
    assert results["test"]["recall"] < results["matching"]["test"]["recall"] + 0.1


@pytest.mark.slow
def test_the_dictionary_grows_by_confident_repeats(flags, tmp_path):
    grow = ["--pu.rounds", "2", "--pu.min-score", "0.3", "--pu.agreement", "0.6", "--pu.min-repeats", "2"]
    results = trained(flags, *grow, *PRIORS)
    run = tmp_path / "run"
    first, second = results["pu"]["rounds"]
    added = [line.split("\t") for line in (run / "added-1.tsv").read_text().splitlines()[1:]]
    right = [entity in NAMES[kind] for entity, kind, *_ in added]
    assert len(added) == first["added"] > 1
    assert sum(right) > 0.5 * len(right)
    assert second["entries"] == 160 + len(added)
    assert second["matches"] > first["matches"]
    entries = dict(line.split("\t") for line in (run / "dictionary.tsv").read_text().splitlines())
    assert len(entries) == second["entries"]


def failing(real_batch, stop):
    """``TextBatches.batch`` that makes ``stop − 1`` batches."""
    count = 0

    def batch(self, examples):
        nonlocal count
        count += 1
        if count == stop:
            raise MemoryError
        return real_batch(self, examples)

    return batch


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_numbers(flags, tmp_path, monkeypatch):
    from nlp_tasks.batches import TextBatches

    recipe = [*flags, *PRIORS, "--train.checkpoint-steps", "17", "--pu.rounds", "2", "--pu.min-score", "0"]
    recipe += ["--pu.agreement", "0", "--pu.min-repeats", "1", "--pu.warm-up", "2", "--train.epochs", "4"]
    recipe += ["--head.dropout", "0.2"]
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    trained(recipe, "--out", str(straight))
    for stop in STOPS:
        with monkeypatch.context() as patch:
            patch.setattr(TextBatches, "batch", failing(TextBatches.batch, stop))
            with pytest.raises(MemoryError):
                trained(recipe, "--out", str(broken))
    trained(recipe, "--out", str(broken))
    for name in ("tagger/head.safetensors", "dictionary.tsv", "added-1.tsv"):
        assert (broken / name).read_bytes() == (straight / name).read_bytes()
    assert len((straight / "added-1.tsv").read_text().splitlines()) > 1


def test_types_without_a_match_are_printed(flags, files, tmp_path, capsys):
    with files["dictionary"].open("a") as file:
        file.write("nowhere\tORG\n")
    results = trained(flags, "--train.epochs", "1", "--pu.warm-up", "0")
    assert results["pu"]["priors"]["ORG"] == {"prior": 0.0, "labelled": 0.0, "source": "no match"}
    assert "0.00 % of words matched, prior 0.00 % (no match)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--head.name", "crf"], "the head 'crf' does not learn from a dictionary"),
        (["--pu.priors", '{"LOC": 1.5}'], r"pu\.priors: the prior of 'LOC' is 1\.5; it must lie in \(0, 1\)"),
        (
            ["--pu.priors", '{"LOC": 0.001}'],
            r"the prior of 'LOC' is 0\.001, but the dictionary matches 0\.\d+ of the words",
        ),
        (["--pu.priors", '{"GPE": 0.1}'], r"pu\.priors names 'GPE'; the types of the dictionary are LOC, PER"),
        (["--pu.dictionary", "None"], r"set pu\.dictionary"),
        (["--pu.rounds", "0"], r"pu\.rounds is 0"),
        (["--pu.memory", "1"], r"pu\.memory is 1\.0; it must lie in \[0, 1\)"),
        (["--train.epochs", "5"], r"pu\.warm_up is 5, train\.epochs 5: pu\.risk would never be used"),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(flags, change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        trained(flags, *change)
    assert not (tmp_path / "run").exists()


def test_text_that_is_one_type_alone_leaves_nothing_behind(flags, files, tmp_path):
    files["train"].write_text("baku\nbake\n")
    files["dictionary"].write_text("baku\tLOC\nbake\tLOC\n")
    files["test"].write_text("baku B-LOC\n")
    with pytest.raises(InputError, match=r"\(pu\.dictionary\) matches every word of .*text\.txt as 'LOC'"):
        trained(flags)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no usable entry"),
        ("ada\tPER\nada\tLOC\n", "an entity of two types"),
        ("zoe\tPER\nzora\tLOC\n", r"none of the 2 entries of the dictionary occurs in .*text\.txt"),
    ],
)
def test_dictionaries_that_teach_nothing(flags, files, text, message, tmp_path):
    files["dictionary"].write_text(text)
    with pytest.raises(InputError, match=message):
        trained(flags)
    assert not (tmp_path / "run").exists()
