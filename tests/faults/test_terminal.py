"""Control characters of ids, titles, labels, texts and file names are printed as escapes."""

import json
import subprocess
import sys
import unicodedata

import polars as pl
import pytest
from faults.commands import CLICKS, TEXTS, TRAIN
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli import main
from recsys_bert.terminal import printable

EVIL = "\x1b]0;x\x07\x1b[31m\x9b2J\r\u202e\u2028"
ESCAPED = r"\u001b]0;x\u0007\u001b[31m\u009b2J\u000d\u202e\u2028"


@given(st.text(st.characters(exclude_categories=())))
def test_escapes_mean_the_same_in_json(text):
    line = printable(json.dumps(text, ensure_ascii=False))
    assert json.loads(line) == text
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(sign) for sign in line}


def check(capsys, command):
    capsys.readouterr()
    status = main(command)
    output = capsys.readouterr()
    raw = {sign for sign in output.out + output.err if sign in EVIL and sign not in "0;x[31m2J]"}
    assert not raw, (command, raw)
    return status, output


@pytest.fixture
def clicks(tmp_path, monkeypatch):
    """Prepared folder whose ids and titles are hostile."""
    monkeypatch.chdir(tmp_path)
    items = [f"{EVIL}{n}" for n in range(8)]
    log = [(f"{EVIL}{user}", items[(user + at) % 8], 100 * at) for user in range(8) for at in range(5)]
    pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet("log.parquet")
    pl.DataFrame({"item_id": items, "title": [f"{EVIL}\nline {n}" for n in range(8)]}).write_parquet("items.parquet")
    words = ["--out", "prepared"]
    assert main(["prepare", "--events", "log.parquet", "--items", "items.parquet", *words]) == 0
    assert main(["pretrain", "--data", "prepared", "--out", "run", *f"{CLICKS} {TRAIN}".split()]) == 0
    return items


def test_clicks(clicks, capsys):
    data = ["--data", "prepared", "--run", "run"]
    status, output = check(capsys, ["recommend", *data, "--users", f"{EVIL}1", "--k", "2"])
    assert status == 0
    assert f"user {ESCAPED}1\n" in output.out
    assert check(capsys, ["similar", *data, "--items", f"{EVIL}1", "--k", "2"])[0] in (0, 2)
    status, output = check(capsys, ["recommend", *data, "--users", f"{EVIL}1", "--k", "2", "--json"])
    listed = json.loads(output.out)["results"][0]
    assert (listed["user_id"], len(listed["items"])) == (f"{EVIL}1", 2)
    assert {item["item_id"] for item in listed["items"]} <= set(clicks)
    status, output = check(capsys, ["recommend", *data, "--users", f"{EVIL}none"])
    assert ESCAPED in output.out + output.err
    assert check(capsys, ["evaluate", "--data", "prepared", "--out", "report", "--baselines", "popular"])[0] == 0
    assert check(capsys, ["prepare", "--events", f"{EVIL}.csv", "--out", "x"])[0] == 2


def test_texts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"text": f"a {word} {EVIL}", "label": f"{EVIL}{word}"}) for word in ("goal", "bank")] * 10
    (tmp_path / "topics.jsonl").write_text("\n".join(rows))
    train = f"--out run --data.train topics.jsonl {TEXTS} {TRAIN}".split()
    assert check(capsys, ["text", "classify", "train", *train])[0] == 0
    status, output = check(capsys, ["text", "classify", "predict", "--run", "run", "--texts", f"a goal{EVIL}"])
    assert status == 0
    assert ESCAPED in output.out
    status, output = check(capsys, ["text", "classify", "evaluate", "--run", "run", "--file", "topics.jsonl"])
    assert ESCAPED in output.out
    status, output = check(capsys, ["text", "classify", "predict", "--run", f"{EVIL}run", "--texts", "a"])
    assert status == 2


def test_a_tagger_marks_texts_without_their_escapes(workplace, capsys):
    workplace()
    status, output = check(capsys, ["text", "tag", "predict", "--run", "tagger", "--texts", f"ada sang{EVIL} in oslo"])
    assert status == 0
    assert ESCAPED in output.out


def test_file_names_that_are_no_utf8_are_printed(tmp_path):
    """A half of a character cannot be encoded: printing it ended in a traceback."""
    code = "from recsys_bert.terminal import printable_output\nwith printable_output(): print('a\\udcffb')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a\\udcffb\n")
