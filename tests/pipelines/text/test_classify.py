import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nlp_tasks.config import TokenizerConfig
from pipelines.cli import main
from pipelines.support.flags import load_config
from pipelines.text.classify import train
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config, write_config


@pytest.fixture
def flags(topic_files, tiny, tmp_path):
    """Flags of ``text classify train``."""
    files = topic_files()
    file_flags = [flag for name, path in files.items() for flag in (f"--data.{name}", str(path))]
    return ["--out", str(tmp_path / "run"), *file_flags, *tiny, "--train.epochs", "6"]


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


def curve(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_train_evaluate_predict(flags, topic_files, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["text", "classify", "train", *flags]) == 0
    results = metrics(run)
    assert results["test"]["accuracy"] > 0.9
    assert results["examples"] == {"train": 160, "validation": 40, "test": 40}
    assert results["counted"] == {}
    assert [one["label"] for one in results["test"]["classes"]] == ["food", "money", "sport"]

    files = topic_files()
    capsys.readouterr()
    report = tmp_path / "report"
    test = str(files["test"])
    assert main(["text", "classify", "evaluate", "--run", str(run), "--file", test, "--out", str(report)]) == 0
    assert f"accuracy {results['test']['accuracy']:.4f}" in capsys.readouterr().out
    written = json.loads((report / "report.json").read_text())
    assert written["confusion"] == results["test"]["confusion"]
    assert (report / "confusion.svg").read_text().startswith("<?xml")

    out = tmp_path / "answers.jsonl"
    assert main(["text", "classify", "predict", "--run", str(run), "--file", test, "--out", str(out)]) == 0
    answers = pl.read_ndjson(out)
    truth = [line.split("\t")[1] for line in files["test"].read_text().splitlines()[1:]]
    assert np.mean([a == b for a, b in zip(answers["label"], truth, strict=True)]) == results["test"]["accuracy"]
    capsys.readouterr()
    assert (
        main(["text", "classify", "predict", "--run", str(run), "--texts", "a ball on goal", "the soup", "--json"]) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert [one["label"] for one in printed["answers"]] == ["sport", "food"]
    assert all(0.5 < one["probability"] <= 1 for one in printed["answers"])

    settings = run / "config.toml"  # as if the training files had been label_text
    trained = read_config(train.Config, settings)
    write_config(replace(trained, data=replace(trained.data, format="label_text")), settings)
    (tmp_path / "lines.txt").write_text("a ball on goal\n")
    predict = ["text", "classify", "predict", "--run", str(run), "--file", str(tmp_path / "lines.txt"), "--json"]
    assert main(predict) == 2
    assert "lines that begin with a label; do those of" in capsys.readouterr().err
    for how, text in (["label_text"], "ball on goal"), (["tsv", "--read.columns", "text"], "a ball on goal"):
        assert main([*predict, "--read.format", *how]) == 0
        assert json.loads(capsys.readouterr().out)["answers"][0]["text"] == text


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_numbers(flags, tmp_path, monkeypatch):
    recipe = [*flags, "--train.checkpoint-steps", "3", "--encoder.dropout", "0.2", "--task.down-sample", "1.0"]
    straight = load_config(train.Config, [*recipe, "--out", str(tmp_path / "straight")])
    train.run(straight)

    from nlp_tasks.batches import TextBatches

    honest, count = TextBatches.batch, 0

    def fails_at_the_17th(self, examples):
        nonlocal count
        count += 1
        if count == 17:
            raise MemoryError
        return honest(self, examples)

    broken = load_config(train.Config, [*recipe, "--out", str(tmp_path / "broken")])
    with monkeypatch.context() as patch:
        patch.setattr(TextBatches, "batch", fails_at_the_17th)
        with pytest.raises(MemoryError):
            train.run(broken)
    train.run(broken)
    assert curve(tmp_path / "broken") == curve(tmp_path / "straight")
    one, other = metrics(tmp_path / "broken"), metrics(tmp_path / "straight")
    assert one.pop("seconds")
    assert other.pop("seconds")
    assert one == other
    name = "classifier/model.safetensors"
    assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


@pytest.mark.slow
def test_several_labels(tmp_path, tiny, capsys):
    random = np.random.default_rng(0)
    rows = []
    for _ in range(400):
        words = {"red": random.random() < 0.5, "big": random.random() < 0.3}
        text = " ".join(
            random.permutation([*random.choice(["a", "of", "in"], 4), *(w for w, on in words.items() if on)])
        )
        rows.append({"text": text, "label": [f"is-{word}" for word, on in words.items() if on]})
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    run = tmp_path / "run"
    flags = ["--data.train", str(path), "--task.multi-label", "--train.epochs", "12"]
    assert main(["text", "classify", "train", "--out", str(run), *flags, *tiny]) == 0
    results = metrics(run)
    assert results["validation"]["micro_f1"] > 0.95
    assert results["examples"] == {"train": 360, "validation": 40}
    capsys.readouterr()
    texts = ["a red of in a", "in big red a of of", "a of in of"]
    assert main(["text", "classify", "predict", "--run", str(run), "--texts", *texts, "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [sorted(one["labels"]) for one in answers] == [["is-red"], ["is-big", "is-red"], []]


@pytest.mark.slow
def test_every_setting_of_a_task_learns(flags, tmp_path):
    ways = {
        "windows": ["--length.max-len", "8", "--length.long", "windows", "--length.pool", "max"],
        "focal": ["--task.focal-gamma", "2", "--task.label-smoothing", "0.1", "--train.epochs", "10"],
        "weights": ["--task.class-weights", "balanced"],
        "parts": ["--encoder.fusion", "scalar_mix", "--encoder.neck", "cnn", "--head.name", "attention"],
        "cnn": ["--head.name", "text_cnn", "--head.options", '{"filters": 32}', "--train.schedule.warmup-steps", "20"],
        "techniques": [
            "--train.auxiliary.weight",
            "0.8",
            "--train.adversarial.method",
            "fgm",
            "--train.adversarial.epsilon",
            "0.1",
            "--train.averaging.method",
            "ema",
            "--train.averaging.decay",
            "0.9",
            "--train.epochs",
            "12",
        ],
    }
    for name, way in ways.items():
        results = train.run(load_config(train.Config, [*flags, *way, "--out", str(tmp_path / name)]))
        assert results["test"]["accuracy"] > 0.8, name
    windows = metrics(tmp_path / "windows")
    assert windows["counted"]["test"] == {"read_in_windows": 40}


def test_another_runs_encoder_is_taken_over(flags, tmp_path):
    first = load_config(train.Config, flags)
    train.run(first)
    second = [*flags, "--out", str(tmp_path / "second"), "--init", str(tmp_path / "run"), "--train.epochs", "1"]
    with pytest.raises(InputError, match=r"brings its own tokenizer .*, and tokenizer\.min_count 1 would"):
        train.run(load_config(train.Config, second))
    second += ["--tokenizer.min-count", "2"]
    assert train.run(load_config(train.Config, second))["test"]["accuracy"] > 0.9


@pytest.mark.slow
def test_a_small_student_learns_from_its_teacher(flags, tmp_path):
    teacher = load_config(train.Config, flags)
    train.run(teacher)
    light = ["--encoder.n-layers", "0", "--encoder.neck", "bilstm", "--encoder.residual", "none"]
    heads = flags.index("--encoder.n-heads")  # of layers
    flags = flags[:heads] + flags[heads + 2 :]
    way = ["--out", str(tmp_path / "student"), "--teacher", str(teacher.out), "--distillation.soft-weight", "0.9"]
    student = load_config(train.Config, [*flags, *light, *way, "--train.epochs", "12", "--train.patience", "0"])
    assert train.run(student)["test"]["accuracy"] > 0.8
    with pytest.raises(InputError, match=r"give teacher as well"):
        load_config(train.Config, [*flags, "--distillation.soft-weight", "0.9"])
    with pytest.raises(InputError, match=r"another vocabulary.*tokenizer\.folder"):
        train.run(replace(student, out=tmp_path / "third", tokenizer=TokenizerConfig(vocab_size=40)))
    from_folder = TokenizerConfig(folder=teacher.out)
    short = replace(student.train, epochs=1)
    train.run(replace(student, out=tmp_path / "fourth", tokenizer=from_folder, train=short))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--train.monitor", "ndcg@10"], r"train\.monitor is 'ndcg@10'; this task validates accuracy"),
        (["--train.monitor", "auc"], r"is for two labels; there are 3"),
        (["--encoder.attention", "causal"], r"encoder\.attention follows from the data"),
        (["--length.max-len", "64"], r"this encoder reads 24 tokens at most"),
        (["--text", "title"], r"has no column 'title'"),
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


def test_no_training_file(tmp_path):
    with pytest.raises(InputError, match=r"name it with --data\.train"):
        train.run(load_config(train.Config, ["--out", str(tmp_path / "run")]))


def test_a_label_that_training_does_not_know(flags, topic_files, tmp_path):
    test = topic_files()["test"]
    test.write_text(test.read_text() + "what is this\tnothing\n")
    with pytest.raises(InputError, match=r"line 42 of .*test\.tsv: label 'nothing' does not occur in training"):
        train.run(load_config(train.Config, flags))
    results = train.run(load_config(train.Config, [*flags, "--data.bad-rows", "drop", "--train.epochs", "1"]))
    assert results["counted"]["test"] == {"label 'nothing' does not occur in training": 1}
    assert results["examples"]["test"] == 40


def test_data_that_changed_stops_a_run_that_goes_on(flags, topic_files):
    train.run(load_config(train.Config, flags))
    files = topic_files()
    files["train"].write_text(files["train"].read_text() + "a new ball\tsport\n")
    with pytest.raises(InputError, match=r"train\.tsv is not what .* was begun with"):
        train.run(load_config(train.Config, flags))


def test_what_is_answered_for_is_given_once(tmp_path, capsys):
    run = ["text", "classify", "predict", "--run", str(tmp_path)]
    assert main(run) == 2
    assert main([*run, "--texts", "a", "--file", "b.tsv"]) == 2
    assert main([*run, "--texts", "a", "--out", "b.txt"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("give either texts on the command line or a file") == 2
    assert "its ending says what is written" in printed
