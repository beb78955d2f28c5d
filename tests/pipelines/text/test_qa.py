import json

import numpy as np
import polars as pl
import pytest

from nlp_tasks.batches import TextBatches
from pipelines.cli import main
from pipelines.support.flags import load_config
from pipelines.text.qa import train
from pipelines.text.qa.paragraphs import ParagraphsConfig, read_paragraphs
from recsys_bert.errors import InputError

KINDS = {"colour": "red blue green black", "animal": "cat dog cow hen", "fruit": "plum pear fig lime"}
FILLER = ["the", "a", "of", "and", "to", "in", "on", "with", "for", "by"]


def reading_set(n, seed, silent=0.0):
    """Questions for the one word of a passage that is no filler; some passages have none."""
    random, paragraphs = np.random.default_rng(seed), []
    for i in range(n):
        kind, words = str(random.choice(list(KINDS))), random.choice(FILLER, 12).tolist()
        answer = str(random.choice(KINDS[kind].split()))
        has = random.random() >= silent
        if has:
            words[random.integers(12)] = answer
        passage = "  ".join(words)
        answers = [{"text": answer, "answer_start": passage.index(answer)}] if has else []
        question = {"id": f"{seed}-{i}", "question": f"which {kind} ?", "answers": answers}
        paragraphs.append({"context": passage, "qas": [question]})
    return {"version": "1", "data": [{"title": "t", "paragraphs": paragraphs}]}


@pytest.fixture
def files(tmp_path):
    def write(silent=0.0):
        paths = {}
        for seed, (name, n) in enumerate({"train": 160, "validation": 40, "test": 40}.items()):
            paths[name] = tmp_path / f"{name}.json"
            paths[name].write_text(json.dumps(reading_set(n, seed, silent)), encoding="utf-8")
        return paths

    return write


@pytest.fixture
def flags(files, tiny, tmp_path):
    file_flags = [flag for name, path in files().items() for flag in (f"--data.{name}", str(path))]
    sizes = [
        one
        for flag, value in zip(tiny[0::2], tiny[1::2], strict=True)
        if flag != "--head.dropout"
        for one in (flag, value)
    ]
    task = ["--task.dropout", "0", "--task.overlap", "0.25", "--task.max-answer", "3", "--train.patience", "0"]
    return [
        "--out",
        str(tmp_path / "run"),
        *file_flags,
        *sizes,
        *task,
        "--encoder.max-len",
        "16",
        "--train.epochs",
        "4",
    ]


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


def printed_json(capsys):
    return json.loads(capsys.readouterr().out)


def test_train_evaluate_predict_search(flags, tmp_path, capsys):
    run, test = tmp_path / "run", tmp_path / "test.json"
    assert main(["text", "qa", "train", *flags]) == 0
    results = metrics(run)
    assert results["test"]["em"] > 0.8
    assert results["language"] == "english"
    assert results["threshold"] is None
    assert results["examples"] == {"train": 160, "validation": 40, "test": 40}
    assert results["counted"]["train"]["windows_with_the_answer"] >= 160
    assert results["counted"]["test"] == {"read_in_windows": 40}

    capsys.readouterr()
    out = tmp_path / "metrics.json"
    ask = ["text", "qa", "evaluate", "--run", str(run), "--file", str(test)]
    assert main([*ask, "--search", "--retrieval.paragraphs", "2", "--out", str(out), "--json"]) == 0
    printed = printed_json(capsys)
    assert printed == json.loads(out.read_text())
    assert {name: printed[name] for name in ("em", "f1", "examples")} == results["test"]
    assert printed["nearest_sentence"]["em"] == 0  # a whole passage is its only sentence
    assert 0 < printed["nearest_sentence"]["f1"] < 0.3
    assert printed["bm25"]["recall@1"] <= printed["bm25"]["recall@5"] <= printed["bm25"]["recall@10"]
    assert printed["bm25"]["paragraphs"] == 40
    assert printed["open_domain"]["examples"] == 40
    assert main(ask) == 0
    table = capsys.readouterr().out
    assert f"{results['test']['em']:.4f}  {results['test']['f1']:.4f}" in table
    assert "nearest sentence (baseline)" in table
    assert "BM25" not in table

    answers = tmp_path / "answers.jsonl"
    assert main(["text", "qa", "predict", "--run", str(run), "--file", str(test), "--out", str(answers)]) == 0
    rows = pl.read_ndjson(answers)
    contexts = {p["qas"][0]["id"]: p for p in json.loads(test.read_text())["data"][0]["paragraphs"]}
    right = 0
    for row in rows.iter_rows(named=True):
        paragraph = contexts[row["id"]]
        assert paragraph["context"][row["start"] : row["stop"]] == row["answer"]
        right += row["answer"] == paragraph["qas"][0]["answers"][0]["text"]
    assert right / 40 == results["test"]["em"]

    capsys.readouterr()
    passage = "  the of  a and to the blue of by a ."
    ask = ["--questions", "which colour ?", "--passage", passage]
    assert main(["text", "qa", "predict", "--run", str(run), *ask, "--json"]) == 0
    summary = printed_json(capsys)["answers"]
    assert [(one["answer"], one["start"]) for one in summary] == [("blue", 23)]

    lines = tmp_path / "many.txt"
    lines.write_text(f"the cat of a tree in the tree\n\n{passage}\nthe cat of a tree in the tree\n")
    ask = ["--questions", "which of the blue ?", "zebra", "--k", "2", "--retrieval.paragraphs", "2", "--json"]
    assert main(["text", "qa", "search", "--run", str(run), "--files", str(lines), *ask]) == 0
    summary = printed_json(capsys)
    assert (summary["paragraphs"], summary["left_out"]) == (2, {"equal_paragraphs": 1})
    assert summary["counted"]["questions_that_share_no_word"] == 1
    assert summary["answers"][-1] == dict.fromkeys(summary["answers"][0]) | {"question": "zebra"}
    first = summary["answers"][0]
    assert (first["source"], first["file"], first["rank"]) == ("line 3", str(lines), 1)
    assert passage[first["start"] : first["stop"]] == first["answer"]
    for _ in range(2):  # the index is made, and found
        keep = ["--index", str(tmp_path / "index")]
        assert main(["text", "qa", "search", "--run", str(run), "--files", str(lines), *ask, *keep]) == 0
        assert printed_json(capsys)["answers"] == summary["answers"]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_numbers(flags, tmp_path, monkeypatch):
    recipe = [*flags, "--train.checkpoint-steps", "3", "--train.epochs", "2", "--encoder.dropout", "0.2"]
    recipe += ["--task.dropout", "0.1", "--task.empty-windows", "0.5"]
    straight = load_config(train.Config, [*recipe, "--out", str(tmp_path / "straight")])
    train.run(straight)
    honest, count = TextBatches.batch, 0

    def fails_at_the_30th(self, examples):
        nonlocal count
        count += 1
        if count == 30:
            raise MemoryError
        return honest(self, examples)

    broken = load_config(train.Config, [*recipe, "--out", str(tmp_path / "broken")])
    with monkeypatch.context() as patch:
        patch.setattr(TextBatches, "batch", fails_at_the_30th)
        with pytest.raises(MemoryError):
            train.run(broken)
    train.run(broken)
    one, other = metrics(tmp_path / "broken"), metrics(tmp_path / "straight")
    assert one.pop("seconds")
    assert other.pop("seconds")
    assert one == other
    for name in ("model.safetensors", "head.safetensors"):
        assert (tmp_path / "broken/question_answerer" / name).read_bytes() == (
            tmp_path / "straight/question_answerer" / name
        ).read_bytes()


@pytest.mark.slow
def test_questions_without_an_answer(flags, files, tmp_path, capsys):
    files(silent=0.5)
    with pytest.raises(InputError, match=r"question 1 of paragraph \d+ of article 1 .*task\.no_answer is not set"):
        train.run(load_config(train.Config, flags))
    results = train.run(load_config(train.Config, [*flags, "--task.no-answer"]))
    assert 0 < results["threshold"] < 1
    assert results["test"]["right_without_answer"] > 0.8
    assert results["test"]["f1_with_answer"] > 0.8
    questions_file = tmp_path / "asked.jsonl"
    passages = ["the of a cow and to the in of by a by", "the of a and to the in of by a by"]
    lines = [json.dumps({"question": "which animal ?", "context": passage}) for passage in passages]
    questions_file.write_text("\n".join(lines))
    capsys.readouterr()
    assert main(["text", "qa", "predict", "--run", str(tmp_path / "run"), "--json", "--file", str(questions_file)]) == 0
    assert [one["answer"] for one in printed_json(capsys)["answers"]] == ["cow", None]


@pytest.mark.slow
def test_every_technique_by_the_keys_of_the_other_tasks(flags, tmp_path):
    ways = {
        "parts": ["--encoder.fusion", "scalar_mix", "--encoder.neck", "cnn"],
        "techniques": [
            *(
                "--train.auxiliary.weight",
                "0.8",
                "--train.adversarial.method",
                "fgm",
                "--train.adversarial.epsilon",
                "0.1",
            ),
            *(
                "--train.averaging.method",
                "ema",
                "--train.averaging.decay",
                "0.9",
                "--train.optimiser.layer-decay",
                "0.9",
            ),
        ],
    }
    for name, way in ways.items():
        results = train.run(load_config(train.Config, [*flags, *way, "--out", str(tmp_path / name)]))
        assert results["test"]["em"] > 0.7, name
    student = ["--teacher", str(tmp_path / "parts"), "--distillation.soft-weight", "0.9", "--out", str(tmp_path / "s")]
    assert train.run(load_config(train.Config, [*flags, *student]))["test"]["em"] > 0.7
    other = [*student[:-1], str(tmp_path / "other"), "--tokenizer.vocab-size", "30"]
    with pytest.raises(InputError, match=r"another vocabulary.*tokenizer\.folder"):
        train.run(load_config(train.Config, [*flags, *other]))
    start = ["--init", str(tmp_path / "parts"), "--out", str(tmp_path / "again"), "--train.epochs", "1"]
    start += ["--tokenizer.min-count", "2"]
    assert train.run(load_config(train.Config, [*flags, *start]))["test"]["em"] > 0.7


def test_passages_are_held_out_where_there_is_no_validation_file(flags, tmp_path):
    at = flags.index("--data.validation")
    held = [*flags[:at], *flags[at + 2 :], "--train.epochs", "1", "--data.validation-share", "0.2"]
    results = train.run(load_config(train.Config, held))
    assert results["examples"] == {"train": 128, "validation": 32, "test": 40}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--train.monitor", "accuracy"], r"train\.monitor is 'accuracy'; this task validates f1, em"),
        (["--task.no-answer"], r"of the 40 validation questions all have an answer"),
        (["--task.max-len", "64"], r"this encoder reads 16 tokens at most"),
        (["--distillation.soft-weight", "0.9"], r"give teacher as well"),
        (["--data.format", "jsonl"], r"line 1 of .*train\.json: no key 'question'"),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(flags, change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train.run(load_config(train.Config, [*flags, *change]))
    assert not (tmp_path / "run").exists()


def test_a_passage_that_is_no_text_drops_out_and_is_counted(tmp_path):
    path = tmp_path / "a.json"
    paragraphs = [{"context": context, "qas": []} for context in (None, "a cat", 5, "\ud83d")]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    with pytest.raises(InputError, match=r"paragraph 1 of article 1 of .*a\.json: context is no text"):
        read_paragraphs((path,), ParagraphsConfig())
    results, left_out = read_paragraphs((path,), ParagraphsConfig(bad_rows="drop"))
    assert [(one.text, one.source) for one in results] == [("a cat", "paragraph 2 of article 1")]
    assert left_out == {
        "context is no text": 2,
        r"half of a character (a lone surrogate, such as \ud83d)": 1,
    }


def test_what_is_asked_is_checked_at_once(tmp_path, capsys):
    predict, search = (["text", "qa", name, "--run", str(tmp_path)] for name in ("predict", "search"))
    for line, message in (
        ([*predict], "give either texts"),
        ([*predict, "--questions", "a"], "write it with --passage"),
        ([*predict, "--file", "a.json", "--passage", "b"], "leave out --passage"),
        ([*predict, "--questions", "a", "--passage", "b", "--out", "c.xls"], "its ending says"),
        ([*search, "--files", "a.txt", "--questions", " "], "a question is empty"),
        ([*search, "--files", "a.txt", "--questions", "b", "--k", "9"], "k is 9"),
    ):
        assert main(line) == 2
        assert message in " ".join(capsys.readouterr().err.split())
