"""Outputs of odd names are written under them; those that cannot be written are refused before any work."""

import shlex
from pathlib import Path

import pytest
from faults.commands import COMMANDS, READERS

from pipelines.cli import main

WRITERS = dict(COMMANDS)
for _artefact, _lines in READERS.items():
    WRITERS |= {f"{_artefact} {n}": line for n, line in enumerate(_lines) if "--out" in line}


def with_out(command, out):
    command = list(command)
    at = command.index("--out") + 1
    command[at] = f"{out}{Path(command[at]).suffix}"
    return command


@pytest.mark.parametrize("out", ["a file/below", "/proc/x", "x" * 300])
def test_no_command_works_before_it_refuses(workplace, capsys, out):
    folder = workplace()
    (folder / "a file").write_text("")
    before = sorted(folder.rglob("*"))
    for name, command in WRITERS.items():
        capsys.readouterr()
        assert main(with_out(command, out)) == 2, name
        error = capsys.readouterr().err
        assert error.startswith("error: "), (name, error)
        assert "cannot" in error, (name, error)
        assert error.count("\n") == 1, (name, error)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["v[1]", "a *b? ü/日本", "{1}~$x"])
def test_names_are_no_patterns(workplace, capsys, name):
    workplace()
    for artefact in ("prepared", "fusion", "vectors", "text_index"):
        command = with_out(COMMANDS[artefact], f"{artefact} {name}")
        assert main(command) == 0, (artefact, capsys.readouterr().err)
        assert any(Path(f"{artefact} {name}").iterdir())
    recommend = f"recommend --data 'prepared {name}' --run 'fusion {name}' --users 1"
    assert main(shlex.split(recommend)) == 0, capsys.readouterr().err
    for file in ("log.parquet", "topics.tsv", "plain.txt"):
        (Path(name).parent / file).parent.mkdir(exist_ok=True)
        Path(f"{name}{Path(file).suffix}").write_bytes(Path(file).read_bytes())
    assert main(["prepare", "--events", f"{name}.parquet", "--out", "again"]) == 0, capsys.readouterr().err
    assert main(["text", "classify", "evaluate", "--run", "classifier", "--file", f"{name}.tsv"]) == 0
    vectors = ["text", "vectors", "train", "--text.files", f"{name}.txt", "--out", "more", "--min-count", "1"]
    assert main([*vectors, "--word2vec.dim", "4", "--word2vec.epochs", "1"]) == 0, capsys.readouterr().err
