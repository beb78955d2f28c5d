"""The benchmark of students against their teacher, on classifiers of a moment."""

import json

import numpy as np
import pytest

from nlp_tasks.classification.classifier import Classifier
from pipelines.benchmarks import students
from pipelines.support.flags import load_config
from pipelines.text.classify import train
from recsys_bert.errors import InputError


def trained(files, tiny, out, *flags):
    file_flags = [flag for name, path in files.items() for flag in (f"--data.{name}", str(path))]
    train.run(load_config(train.Config, ["--out", str(out), *file_flags, *tiny, "--train.epochs", "2", *flags]))
    return out


def test_a_student_beside_its_teacher(topic_files, tiny, tmp_path):
    files = topic_files()
    teacher = trained(files, tiny, tmp_path / "teacher")
    at = tiny.index("--tokenizer.min-count")
    plain = tiny[:at] + tiny[at + 4 :]  # the tokenizer is the teacher's
    flags = ["--teacher", str(teacher), "--tokenizer.folder", str(teacher), "--encoder.dim", "8"]
    student = trained(files, plain, tmp_path / "student", *flags)
    config = students.Config(runs=(teacher, student), file=files["test"], out=tmp_path / "table", rounds=2)
    table = students.run(config)
    first, second = table["rows"]
    for row, run in zip(table["rows"], (teacher, student), strict=True):
        results = json.loads((run / "metrics.json").read_text())
        assert row["metrics"]["accuracy"] == results["test"]["accuracy"]
        assert row["parameters"] == results["parameters"]
        assert row["per_s"] > 0
    assert first["agrees"] == first["times_per_s"] == first["times_alone_per_s"] == 1
    assert (first["dim"], second["dim"]) == (16, 8)
    texts = [line.split("\t")[0] for line in files["test"].read_text().splitlines()[1:]]
    answers = [Classifier.load(run).predict(texts) for run in (teacher, student)]
    assert second["agrees"] == np.mean([a == b for a, b in zip(*answers, strict=True)])
    assert "| student | 1 | 8 |" in (tmp_path / "table.md").read_text()
    assert json.loads((tmp_path / "table.json").read_text()) == table


def test_one_run_is_nothing_to_compare(tmp_path):
    with pytest.raises(InputError, match="two and one"):
        students.Config(runs=(tmp_path,), file=tmp_path / "test.tsv", out=tmp_path / "out")
