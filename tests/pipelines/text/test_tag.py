import json
import re

import numpy as np
import polars as pl
import pytest

from nlp_tasks.splits import hold_out
from nlp_tasks.word_vectors.files import write_vectors
from pipelines.cli import main
from pipelines.support.flags import load_config
from pipelines.text.tag import train
from pipelines.text.tag.display import print_texts, write_page
from pipelines.text.tag.files import read_files
from recsys_bert.errors import InputError

NAMES = {  # every word has one tag, so that a model of a few weights learns them in a second or two
    "LOC": ["bonn", "oslo", "san remo"],
    "PER": ["ada", "bob", "carl sagan"],
    "ORG": ["bank", "club", "red cross"],
}
QUICK = ["--encoder.init-std", "0.3", "--train.lr", "2e-2", "--train.epochs", "6", "--train.patience", "0"]
FILLER = ["the", "a", "of", "and", "to", "in", "on", "with", "for", "by"]


def marked_lines(n, seed):
    """Sentences of filler with two entities of one or two words, one word and its IOB2 tag a line."""
    random, lines = np.random.default_rng(seed), []
    for _ in range(n):
        for _ in range(2):
            lines += [f"{word} O" for word in random.choice(FILLER, int(random.integers(1, 4)))]
            kind = str(random.choice(sorted(NAMES)))
            words = str(random.choice(NAMES[kind])).split()
            lines += [f"{word} {'I' if at else 'B'}-{kind}" for at, word in enumerate(words)]
            lines.append("and O")
        lines.append("")
    return "\n".join(lines)


@pytest.fixture
def files(tmp_path):
    paths = {name: tmp_path / f"{name}.iob2" for name in ("train", "validation", "test")}
    for seed, (path, n) in enumerate(zip(paths.values(), (120, 30, 30), strict=True)):
        path.write_text(marked_lines(n, seed))
    return paths


@pytest.fixture
def flags(files, tiny, tmp_path):
    """Flags of ``text tag train``."""
    data = [flag for name, path in files.items() for flag in (f"--data.{name}", str(path))]
    return ["--out", str(tmp_path / "run"), *data, "--data.scheme", "iob2", *tiny, *QUICK]


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


def curve(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_train_evaluate_predict(flags, files, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["text", "tag", "train", *flags]) == 0
    results = metrics(run)
    assert results["test"]["f1"] > 0.8
    assert results["examples"] == {"train": 120, "validation": 30, "test": 30}
    assert [one["label"] for one in results["test"]["classes"]] == ["LOC", "ORG", "PER"]

    capsys.readouterr()
    report, test = tmp_path / "report", str(files["test"])
    assert main(["text", "tag", "evaluate", "--run", str(run), "--file", test, "--out", str(report)]) == 0
    printed = capsys.readouterr().out
    assert f"f1 {results['test']['f1']:.4f}" in printed
    assert "60 entities in 30 sentences" in printed
    assert json.loads((report / "report.json").read_text())["classes"] == results["test"]["classes"]
    assert main(["text", "tag", "evaluate", "--run", str(run), "--file", test, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == results["test"]["f1"]

    text = "Ada and bob in  Oslo."
    page = tmp_path / "page.html"
    assert main(["text", "tag", "predict", "--run", str(run), "--texts", text, "--html", str(page), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert [(one["text"], one["type"]) for one in answer["entities"]] == [
        ("Ada", "PER"),
        ("bob", "PER"),
        ("Oslo", "LOC"),
    ]
    assert all(text[one["start"] : one["end"]] == one["text"] and one["score"] > 0.3 for one in answer["entities"])
    assert page.read_text().count("</mark>") == 3 + 3  # the key has one for every type
    assert main(["text", "tag", "predict", "--run", str(run), "--texts", text]) == 0
    assert capsys.readouterr().out == "1  [Ada PER] and [bob PER] in  [Oslo LOC].\n"


def test_what_predict_writes_is_what_evaluate_reads(flags, files, tmp_path, capsys):
    run, test = tmp_path / "run", str(files["test"])
    train.run(load_config(train.Config, [*flags, "--train.epochs", "2"]))
    answers = tmp_path / "answers.jsonl"
    predict = ["text", "tag", "predict", "--run", str(run), "--file", test, "--min-score", "0.2"]
    assert main([*predict, "--out", str(answers)]) == 0
    assert len(pl.read_ndjson(answers)) == 30
    for suffix in ("csv", "parquet"):
        assert main([*predict, "--out", str(tmp_path / f"answers.{suffix}")]) == 0
    assert len(pl.read_parquet(tmp_path / "answers.parquet")) == 30
    capsys.readouterr()
    assert main(["text", "tag", "evaluate", "--run", str(run), "--file", str(answers), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recall"] == 1


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_numbers(flags, tmp_path, monkeypatch):
    recipe = [*flags, "--train.checkpoint-steps", "3", "--encoder.dropout", "0.2", "--head.dropout", "0.2"]
    recipe += ["--train.epochs", "3"]
    train.run(load_config(train.Config, [*recipe, "--out", str(tmp_path / "straight")]))

    from nlp_tasks.batches import TextBatches

    real_batch, count = TextBatches.batch, 0

    def fails_at_the_13th(self, examples):
        nonlocal count
        count += 1
        if count == 13:
            raise MemoryError
        return real_batch(self, examples)

    broken = load_config(train.Config, [*recipe, "--out", str(tmp_path / "broken")])
    with monkeypatch.context() as patch:
        patch.setattr(TextBatches, "batch", fails_at_the_13th)
        with pytest.raises(MemoryError):
            train.run(broken)
    train.run(broken)
    assert curve(tmp_path / "broken") == curve(tmp_path / "straight")
    name = "tagger/head.safetensors"
    assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


LONGER = ["--train.epochs", "8"]
WAYS = {
    "softmax": ["--head.name", "softmax", "--head.options", '{"label_smoothing": 0.05, "focal_gamma": 1.0}', *LONGER],
    "iob2": ["--head.options", '{"scheme": "iob2"}', *LONGER],
    "windows": ["--length.max-len", "8"],
    "parts": ["--encoder.fusion", "scalar_mix", "--encoder.neck", "bilstm"],
    "techniques": [
        *("--train.auxiliary.weight", "0.8", "--train.adversarial.method", "fgm", "--train.adversarial.epsilon", "0.1"),
        *("--train.averaging.method", "ema", "--train.averaging.decay", "0.9"),
        *LONGER,
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_setting_of_the_task_learns(flags, tmp_path, way):
    results = train.run(load_config(train.Config, [*flags, *WAYS[way]]))
    assert results["test"]["f1"] > 0.8
    if way == "windows":
        assert results["counted"]["test"]["read_in_windows"] > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "options", "started"),
    [
        ("soft_lexicon", '{"width": 8}', ()),
        ("soft_lexicon", '{"width": 8}', ("bonn", "cross", "unheard_of")),
        ("flat", '{"width": 8, "n_heads": 2, "shortest": 1}', ("bonn", "cross")),
    ],
)
def test_words_of_a_lexicon_are_read_along(flags, files, tmp_path, capsys, part, options, started):
    lexicon, text = tmp_path / "words.txt", tmp_path / "text.txt"
    lexicon.write_text(
        "".join(f"{word.replace(' ', '_')} 3 n\n" for words in NAMES.values() for word in words) + "cross\n"
    )
    text.write_text("ada and the club\nbonn\n")
    way = ["--lexicon.name", part, "--lexicon.options", options, "--lexicon.file", str(lexicon)]
    way += ["--lexicon.text", str(text), "--train.epochs", "6"]
    if started:
        vectors = tmp_path / "vectors.txt"
        write_vectors(vectors, started, np.random.default_rng(0).normal(size=(len(started), 8)))
        way += ["--lexicon.vectors", str(vectors)]
    assert main(["text", "tag", "train", *flags, *way]) == 0
    run = tmp_path / "run"
    assert metrics(run)["test"]["f1"] > 0.8
    capsys.readouterr()
    assert main(["text", "tag", "evaluate", "--run", str(run), "--file", str(files["test"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == metrics(run)["test"]["f1"]
    words = dict(line.split("\t")[:2] for line in (run / "tagger" / "lexicon.tsv").read_text().splitlines())
    assert metrics(run)["lexicon"].get("rows_with_vectors", 0) == min(2, len(started))
    assert (len(words), words["red_cross"]) == (10, "0")
    assert int(words["bonn"]) == files["train"].read_text().count("bonn") + 1
    with pytest.raises(InputError, match=r"set lexicon\.name"):
        load_config(train.Config, [*flags, "--lexicon.file", str(lexicon)])


@pytest.mark.slow
def test_another_runs_encoder_is_taken_over(flags, tmp_path):
    train.run(load_config(train.Config, flags))
    second = [*flags, "--out", str(tmp_path / "second"), "--init", str(tmp_path / "run"), "--train.epochs", "1"]
    second += ["--tokenizer.min-count", "2"]
    assert train.run(load_config(train.Config, second))["test"]["f1"] > 0.5


@pytest.mark.slow
def test_json_lines_and_held_out_sentences(tmp_path, tiny):
    random, rows = np.random.default_rng(0), []
    for _ in range(60):
        kind = str(random.choice(sorted(NAMES)))
        name, before = str(random.choice(NAMES[kind])), " ".join(random.choice(FILLER, 4))
        span = {"start": len(before) + 1, "end": len(before) + 1 + len(name), "type": kind}
        rows.append({"text": f"{before} {name}.", "entities": [span]})
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    flags = ["--out", str(tmp_path / "run"), "--data.train", str(path), *tiny, *QUICK, "--train.epochs", "8"]
    results = train.run(load_config(train.Config, flags))
    assert results["examples"] == {"train": 54, "validation": 6}
    assert results["validation"]["f1"] > 0.6


@pytest.mark.slow
def test_mrc_predicts_nested_entities(flags, files, tmp_path, capsys):
    inner = {"cross": "B-LOC", "bank": "B-PER"}  # within "red cross", and of the same place as "bank"
    for path in files.values():
        lines = path.read_text().splitlines()
        path.write_text("\n".join(f"{line} {inner.get(line.split()[0], 'O')}" if line else "" for line in lines))
    queries = tmp_path / "queries.tsv"
    queries.write_text("LOC\twhich of the places\nORG\twhich club\nPER\twho\n")
    way = ["--head.name", "mrc", "--head.options", '{"nested": true}', "--data.tag-columns", "1", "2"]
    way += [
        "--queries",
        str(queries),
        "--train.epochs",
        "10",
        "--train.batch-size",
        "32",
        "--negative-share",
        "0.5",
    ]
    results = train.run(load_config(train.Config, [*flags, *way]))
    assert results["counted"] == {}
    assert results["test"]["f1"] > 0.4
    run = ["--run", str(tmp_path / "run")]
    assert main(["text", "tag", "evaluate", *run, "--file", str(files["test"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inner_f1"] == results["test"]["inner_f1"]
    with pytest.raises(InputError, match="MRC tagging has no lexicon layer"):
        train.run(
            load_config(train.Config, [*flags, *way, "--lexicon.name", "soft_lexicon", "--out", str(tmp_path / "x")])
        )


def test_inner_entities_are_counted(flags, files):
    for path in files.values():
        lines = path.read_text().splitlines()
        path.write_text("\n".join(f"{line} {'B-LOC' if 'bank' in line else 'O'}" if line else "" for line in lines))
    flags = [*flags, "--data.tag-columns", "1", "2", "--train.epochs", "1"]
    results = train.run(load_config(train.Config, flags))
    assert results["counted"]["test"]["inner_entities_not_learned"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--train.monitor", "accuracy"], r"train\.monitor is 'accuracy'; this task validates f1"),
        (["--negative-share", "0.5"], r"the head 'crf' has no queries; leave out queries and negative_share"),
        (["--negative-share", "0"], r"negative_share is 0\.0; it must lie in \(0, 1\]"),
        (["--encoder.attention", "causal"], r"encoder\.attention follows from the data"),
        (["--length.max-len", "64"], r"this encoder reads 24 tokens at most"),
        (["--length.max-len", "8", "--length.long", "refuse"], r"tokens, more than 6"),
        (["--data.scheme", "bmes"], r"line \d+ of .*train\.iob2: 'I-\w+' is no tag of bmes"),
        (["--head.options", '{"scheme": "bilou"}'], r"it must be iobes or iob2"),
        (
            ["--train.adversarial.method", "fgm", "--train.adversarial.table", "nothing"],
            r"adversarial\.table 'nothing' is no",
        ),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(flags, change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train.run(load_config(train.Config, [*flags, *change]))
    assert not (tmp_path / "run").exists()


def test_word_vectors_of_another_width_leave_nothing_behind(flags, tmp_path):
    write_vectors(tmp_path / "bonn", ["bonn"], np.ones((1, 3)))
    way = [
        "--lexicon.name",
        "flat",
        "--lexicon.file",
        str(tmp_path / "bonn"),
        "--lexicon.vectors",
        str(tmp_path / "bonn"),
    ]
    with pytest.raises(InputError, match=r"vectors are 3 wide, the table 50\. Set lexicon\.options width to 3"):
        train.run(load_config(train.Config, [*flags, *way]))
    assert not (tmp_path / "run").exists()


def test_other_files_are_read_as_the_training_file(flags, files, tmp_path, capsys):
    """The training file alone decides granularity and word separator, in training and later."""
    way = ["--data.format", "conll", "--train.epochs", "1"]
    for name, path in files.items():
        path = path.rename(path.with_suffix(".txt"))
        way += [f"--data.{name}", str(path)]
    test = tmp_path / "test.txt"
    test.write_text("a O\nb B-LOC\n\n")  # single characters
    splits = read_files(load_config(train.Config, [*flags, *way]).data)
    assert [one.word_separator for one in splits.values()] == ["space"] * 3
    assert [one.granularity for one in splits.values()] == ["words"] * 3
    assert splits["test"].sentences[0].text == "a b"

    train.run(load_config(train.Config, [*flags, *way]))
    run = ["--run", str(tmp_path / "run"), "--file", str(test)]
    assert main(["text", "tag", "evaluate", *run]) == 0
    capsys.readouterr()
    assert main(["text", "tag", "predict", *run, "--json"]) == 0
    printed = capsys.readouterr()
    assert [one["text"] for one in json.loads(printed.out)["answers"]] == ["a O", "b B-LOC"]
    assert "to read its words, set --read.format conll" in printed.err
    assert main(["text", "tag", "predict", *run, "--read.format", "conll", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["text"] == "a b"


def test_a_rare_type_may_be_held_out_whole(flags, files):
    lines = files["train"].read_text().split("\n\n")
    at = flags.index("--data.validation")
    flags = [*flags[:at], *flags[at + 2 :], "--train.epochs", "1"]
    examples = read_files(load_config(train.Config, flags).data)["train"]
    _, held = hold_out(examples, load_config(train.Config, flags).data.validation_share, 0)
    row = examples.lines.index(held.lines[0])
    lines[row] = "zoo B-RARE\n" + lines[row]
    files["train"].write_text("\n\n".join(lines))
    results = train.run(load_config(train.Config, flags))
    assert [one["label"] for one in results["validation"]["classes"]] == ["LOC", "ORG", "PER", "RARE"]


@pytest.mark.slow
def test_a_lexicon_without_matches_is_warned_of(flags, tmp_path, capsys):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("a\n甲乙\n")
    way = ["--lexicon.name", "soft_lexicon", "--lexicon.file", str(lexicon), "--train.epochs", "1"]
    train.run(load_config(train.Config, [*flags, *way]))
    assert "no word of the lexicon that is longer than a character occurs in" in capsys.readouterr().err
    lexicon.write_text("a\nbank\n")
    train.run(load_config(train.Config, [*flags, *way, "--out", str(tmp_path / "other")]))
    assert "warning: no word" not in capsys.readouterr().err


def test_a_type_that_training_does_not_know(flags, files):
    files["test"].write_text(files["test"].read_text() + "\n\nx B-NEW\n")
    with pytest.raises(InputError, match=r"test\.iob2: entity type 'NEW' does not occur in training"):
        train.run(load_config(train.Config, flags))
    results = train.run(load_config(train.Config, [*flags, "--data.bad-rows", "drop", "--train.epochs", "1"]))
    assert results["counted"]["test"] == {
        "entity type 'NEW' does not occur in training": 1,
        "entities in sentences left out": 1,
    }


def test_training_sentences_without_entities(flags, files):
    files["train"].write_text("a O\n\nb O\n")
    with pytest.raises(InputError, match=r"none of the 2 training sentences of .*train\.iob2 has an entity"):
        train.run(load_config(train.Config, flags))


def test_one_source_of_texts(tmp_path, capsys):
    run = ["text", "tag", "predict", "--run", str(tmp_path)]
    assert main(run) == 2
    assert main([*run, "--texts", "a", "--file", "b.txt"]) == 2
    assert main([*run, "--texts", " "]) == 2
    assert main([*run, "--texts", "a", "--min-score", "2"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("give either texts on the command line or a file") == 2
    assert "a text is empty" in printed
    assert "scores lie in [0, 1]" in printed


def test_escape_sequences_of_a_text_do_not_reach_the_terminal(capsys):
    from nlp_tasks.tagging.entities import Entity

    text = "a\x1b[2J\x9b b\r\n\x1bc"
    print_texts([(1, text, [Entity("\x1bc", "X\x07", 10, 12, 0.5)])], ["X\x07"])
    assert capsys.readouterr().out == "1  a\\u001b[2J\\u009b b\\u000d\n[\\u001bc X\\u0007]\n"


def test_on_a_terminal_entities_are_in_colour_and_the_text_is_as_it_was(capsys, monkeypatch):
    from nlp_tasks.tagging.entities import Entity

    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLORTERM": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_texts([(1, "of Bonn", [Entity("Bonn", "LOC", 3, 7, 0.5)])], ["LOC"])
    pieces = re.findall(r"(?:\x1b\[([\d;]+)m)?([^\x1b]+)(?:\x1b\[0m)?", capsys.readouterr().out)
    looks = {text.strip(): look for look, text in pieces if text.strip()}
    assert looks["1"] == looks["["] == looks["]"] == "2"  # dim, what is not of the text
    assert looks["of"] == ""
    assert looks["LOC"] == f"1;{looks['Bonn']}"
    assert looks["Bonn"].isdigit()


def test_entities_within_and_across_one_another_are_all_shown(tmp_path, capsys):
    from nlp_tasks.tagging.entities import Entity

    text = "Bank of <Bonn> & Co"
    spans = [("ORG", 0, 14), ("LOC", 9, 13), ("ORG", 8, 19)]
    entities = [Entity(text[start:stop], kind, start, stop, 0.5) for kind, start, stop in spans]
    print_texts([(3, text, entities)], ["LOC", "ORG"])
    assert capsys.readouterr().out == ("3  [Bank of <[Bonn LOC]> ORG] & Co\n   also [<Bonn> & Co ORG]\n")
    write_page(tmp_path / "page.html", [(3, text, entities)], ["LOC", "ORG"], "A & B")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<mark") == page.count("</mark>") == 5
    assert "&lt;<mark" in page
    assert "&amp; Co<b>ORG</b>" in page
    assert "<title>A &amp; B</title>" in page
