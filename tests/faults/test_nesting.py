"""Lists and objects nested 100,000 deep end in one message, whatever file they are in."""

import json
import shutil
from pathlib import Path

import pytest
from faults.commands import READERS

from pipelines.cli import main
from recsys_bert.parsing import MAX_DEPTH, parse_json, parse_toml

DEEP = 100_000
JSON = {
    "lists": "[" * DEEP + "]" * DEEP,
    "objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "below the limit of Python": '{"a":' * 300 + "1" + "}" * 300,
}
TOML = {"lists": "a = " + JSON["lists"], "dotted keys": ".".join("a" * 3_000) + " = 1"}


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_json(text):
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        parse_json(text)


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
def test_toml(text):
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        parse_toml(text)


def test_as_deep_as_is_allowed():
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(text) == json.loads(text)
    assert parse_json(f"[{text[1:-1]}, 1]") == [json.loads(text[1:-1]), 1]
    assert parse_json(json.dumps("[" * 1000)) == "[" * 1000
    with pytest.raises(ValueError, match="deep"):
        parse_json(f"[{text}]")


def run(command, capsys):
    capsys.readouterr()
    for left in (Path("out"), Path("out.parquet")):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return main(command), capsys.readouterr().err


@pytest.mark.parametrize("kind", ["objects", "below the limit of Python"])
def test_every_file_of_every_artefact(workplace, capsys, kind):
    folder = workplace()
    for artefact, (command, *_) in READERS.items():
        for file in sorted((folder / artefact).rglob("*")):
            if file.suffix not in (".json", ".toml") or file.name in ("metrics.json", "data.json"):
                continue
            whole = file.read_bytes()
            file.write_text(JSON[kind] if file.suffix == ".json" else TOML["dotted keys"])
            status, error = run(command, capsys)
            assert status in (0, 2), (file, error)
            assert status == 0 or error.count("error: ") == 1, (file, error)
            file.write_bytes(whole)


@pytest.mark.parametrize("name", ["log.json", "log.jsonl", "log.csv", "log.toml"])
def test_inputs(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(TOML["lists"] if name == "log.toml" else JSON["objects"])
    commands = [
        ["prepare", name] if name == "log.toml" else ["prepare", "--events", name, "--out", "out"],
        ["text", "classify", "train", "--data.train", name, "--out", "out"],
        ["text", "tag", "train", "--data.train", name, "--out", "out"],
        ["text", "qa", "train", "--data.train", name, "--out", "out"],
        ["text", "pretrain", "--data.train", name, "--out", "out", "--data.format", "squad"],
    ]
    for command in commands[: 1 if name == "log.toml" else None]:
        assert run(command, capsys)[0] == 2, command
