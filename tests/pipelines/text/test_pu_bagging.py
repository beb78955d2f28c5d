import json

import polars as pl
import pytest

from pipelines.cli import main

TOPIC = ["ball", "goal", "team", "match"]


@pytest.fixture
def files(tmp_path, topic_files):
    rows = [line.split("\t") for path in topic_files().values() for line in path.read_text().splitlines()[1:]]
    sport = [text for text, label in rows if label == "sport"]
    unlabelled = sport[20:] + [text for text, label in rows if label != "sport"]
    (tmp_path / "positives.txt").write_text("\n".join(sport[:20]) + "\n")
    (tmp_path / "unlabelled.tsv").write_text("text\n" + "\n".join(unlabelled) + "\n")
    return ["--positives", str(tmp_path / "positives.txt"), "--unlabelled", str(tmp_path / "unlabelled.tsv")]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_scores_are_written(files, tmp_path, capsys, suffix):
    out = tmp_path / f"scores.{suffix}"
    assert main(["text", "classify", "pu", *files, "--out", str(out), "--n-estimators", "20"]) == 0
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[suffix]
    frame = read(out)
    assert frame.columns == ["rank", "score", "number", "text"]
    assert frame["number"].to_list() == list(range(1, len(frame) + 1))
    assert sorted(frame["rank"]) == frame["number"].to_list()
    best = frame.sort("rank").head(30)
    assert sum(any(word in text for word in TOPIC) for text in best["text"]) > 24  # 8 of 30 by chance
    assert best["score"].is_sorted(descending=True)
    printed = capsys.readouterr().err
    assert f"20 positives, {len(frame)} unlabelled texts" in printed
    assert "AUC of hidden positives against unlabelled texts 0." in printed
    assert "% of the unlabelled texts are positive" in printed


def test_the_best_texts_are_printed(files, capsys):
    assert main(["text", "classify", "pu", *files, "--top", "3", "--n-estimators", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["rank", "1", "2", "3"]
    assert main(["text", "classify", "pu", *files, "--top", "2", "--n-estimators", "5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["answers"]) == 2
    assert printed["positives"] == 20


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--out", "scores.txt"], "its ending says what is written"),
        (["--top", "-1"], "top is -1"),
        (["--features", "encoder"], "set features = 'encoder' and init"),
        (["--text", "body"], "has no column 'body'"),
        (["--positives", "missing.txt"], "missing.txt cannot be read"),
    ],
)
def test_bad_input_is_refused(files, capsys, more, message):
    assert main(["text", "classify", "pu", *files, *more]) == 2
    assert message in capsys.readouterr().err
