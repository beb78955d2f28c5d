"""Counting on the data of text recipes, beside runs of a moment."""

import itertools
import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from pipelines.benchmarks import text_baselines
from pipelines.support.flags import load_config
from pipelines.text.classify import train
from recsys_bert.errors import InputError


def toml(path, files, *lines):
    file_flags = [f'{name} = "{file}"' for name, file in files.items()]
    path.write_text("\n".join(['out = "unused"', *lines, "[data]", *file_flags]) + "\n")
    return path


def test_classes_are_counted_and_runs_stand_beside(topic_files, tiny, tmp_path):
    files = topic_files((160, 40, 40))
    file_flags = [flag for name, path in files.items() for flag in (f"--data.{name}", str(path))]
    results = train.run(
        load_config(train.Config, ["--out", str(tmp_path / "run"), *file_flags, *tiny, "--train.epochs", "1"])
    )
    recipe = toml(tmp_path / "recipe.toml", files)
    config = text_baselines.Config(task="classify", recipe=recipe, out=tmp_path / "table", runs=(tmp_path / "run",))
    table = text_baselines.run(config)
    always, svm, bayes, mine = table["rows"]
    train_labels, test_labels = (
        [line.split("\t")[1] for line in files[name].read_text().splitlines()[1:]] for name in ("train", "test")
    )
    most = max(sorted(set(train_labels)), key=train_labels.count)
    assert always["test"]["accuracy"] == np.mean([label == most for label in test_labels])
    assert always["test"]["macro_f1"] < always["test"]["accuracy"]
    assert svm["test"]["accuracy"] == bayes["test"]["accuracy"] == 1  # every topic has words of its own
    assert mine["test"]["accuracy"] == results["test"]["accuracy"]
    assert "| TF-IDF, linear SVM (words and pairs of them; " in (tmp_path / "table.md").read_text()
    assert json.loads((tmp_path / "table.json").read_text()) == table


def test_pairs_are_compared_by_what_they_share(tmp_path):
    files = {name: tmp_path / f"{name}.tsv" for name in ("train", "validation", "test")}
    pairs = [
        ("我要还花呗", "花呗我要还", 1),
        ("我要还花呗", "借呗怎么开", 0),
        ("怎么开通", "怎么样开通", 1),
        ("你好", "再见", 0),
    ]
    for path in files.values():
        path.write_text("first\tsecond\tlabel\n" + "".join(f"{a}\t{b}\t{y}\n" for a, b, y in pairs * 3))
    config = text_baselines.Config(task="match", recipe=toml(tmp_path / "r.toml", files), out=tmp_path / "table")
    always, overlap, cosine = text_baselines.run(config)["rows"]
    assert always["name"] == "always yes"
    assert always["test"]["accuracy"] == 0.5
    assert "auc" not in always["test"] or always["test"]["auc"] == 0.5
    assert overlap["test"]["accuracy"] == cosine["test"]["accuracy"] == 1
    tokens = [list(text) + [f"{a} {b}" for a, b in itertools.pairwise(text)] for text in ("怎么开通", "怎么样开通")]
    shared = len(set(tokens[0]) & set(tokens[1]))
    assert text_baselines._dice(*tokens) == pytest.approx(2 * shared / (len(tokens[0]) + len(tokens[1])))
    known = TfidfVectorizer(
        analyzer=lambda text: list(text) + [f"{a} {b}" for a, b in itertools.pairwise(text)], sublinear_tf=True
    )
    vectors = known.fit([pair[column] for column in (0, 1) for pair in pairs * 3])
    lowest = min((vectors.transform([a]) @ vectors.transform([b]).T).toarray()[0, 0] for a, b, y in pairs if y)
    assert cosine["threshold"] <= lowest


@pytest.mark.parametrize(
    ("task", "lines", "left_out", "message"),
    [
        ("classify", [], "test", "names no test file"),
        ("classify", ["train.monitor = 'micro_f1'", "task.multi_label = true"], None, "give every text one label"),
        ("match", ['label = "None"'], None, "has no label|needs labels"),
    ],
)
def test_recipes_that_cannot_be_compared(topic_files, tmp_path, task, lines, left_out, message):
    files = {name: path for name, path in topic_files().items() if name != left_out}
    path = tmp_path / "recipe.toml"
    data = "".join(f'{name} = "{file}"\n' for name, file in files.items())
    path.write_text('out = "unused"\n' + "".join(line + "\n" for line in lines) + "[data]\n" + data)
    with pytest.raises(InputError, match=message):
        text_baselines.run(text_baselines.Config(task=task, recipe=path, out=tmp_path / "table"))
    assert not (tmp_path / "table.md").exists()


def test_runs_of_other_data_are_refused(topic_files, tmp_path):
    recipe = toml(tmp_path / "recipe.toml", topic_files())
    config = text_baselines.Config(task="classify", recipe=recipe, out=tmp_path / "table", runs=(tmp_path / "none",))
    with pytest.raises(InputError, match="it is no run folder, or its training has not ended"):
        text_baselines.run(config)
