"""Damaged artefacts: every flipped bit, truncated, missing or exchanged file is a message that names the file."""

import os
import random
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.commands import COMMANDS, READERS

from pipelines.cli import main

PER_ARTEFACT = int(os.environ.get("DAMAGES_PER_ARTEFACT", "5"))
OUTPUTS = {"metrics.jsonl", "metrics.json", "data.json", "report.json", "trained_on.json"}  # not read by the command
KINDS = ("flip", "truncate", "remove", "exchange")


def files(artefact: Path) -> list[Path]:
    """Files that the readers of an artefact read."""
    paths = (path for path in sorted(artefact.rglob("*")) if path.is_file() and "checkpoints" not in path.parts)
    beside = {artefact / "config.toml"}
    if (
        artefact / "metrics.jsonl"
    ).exists():  # a run, whose own checksums are of its log; those of its artefact lie deeper
        beside.add(artefact / "checksums.sha256")
    return [path for path in paths if path.name not in OUTPUTS and path not in beside]


def damage(path: Path, kind: str, other: Path, draw: random.Random) -> None:
    """Damage one file: flip one bit, cut it short, remove it, or put the file of another artefact in its place."""
    data = bytearray(path.read_bytes())
    if kind == "flip":
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
    elif kind == "truncate":
        path.write_bytes(data[: draw.randrange(len(data))])
    elif kind == "remove":
        path.unlink()
    else:
        shutil.copyfile(other, path)


def cases(artefact: Path) -> Iterator[tuple[Path, str, Path, random.Random]]:
    """Seeded damages: file, kind, and the file to exchange it with."""
    draw, names = random.Random(artefact.name), files(artefact)
    for _ in range(PER_ARTEFACT):
        path = draw.choice(names)
        others = [other for other in artefact.parent.rglob(path.name) if other.read_bytes() != path.read_bytes()]
        yield path, draw.choice(KINDS if others else KINDS[:3]), draw.choice(others or names), draw


def outcome_of(command: list[str], capsys: pytest.CaptureFixture[str], names: tuple[str, ...]) -> tuple[str, str]:
    """Outcome of a command on a damaged artefact, and what it printed: refused is one message with one of the names."""
    capsys.readouterr()
    try:
        status = main(command)
    except Exception:
        return "traceback", traceback.format_exc()
    error = capsys.readouterr().err
    if status == 0:
        return "unnoticed", error
    named = any(name in error.replace(str(Path.cwd()) + os.sep, "") for name in names)
    return "refused" if named and error.count("error: ") == 1 else "refused without a name", error


def check_refused(artefact: str, outcomes: dict[str, list[object]]) -> None:
    print(f"{artefact}:", {name: len(cases) for name, cases in outcomes.items()})
    assert list(outcomes) == ["refused"], {name: cases for name, cases in outcomes.items() if name != "refused"}


@pytest.mark.parametrize("artefact", READERS)
def test_a_damaged_artefact_is_named(
    artefacts: Path, workplace: Callable[..., Path], capsys: pytest.CaptureFixture[str], artefact: str
) -> None:
    folder = workplace(artefact)
    command = READERS[artefact][0]
    outcomes: dict[str, list[object]] = {}
    for path, kind, other, draw in cases(artefacts / artefact):
        shutil.rmtree(folder / artefact, ignore_errors=True)
        shutil.copytree(artefacts / artefact, folder / artefact)
        name = path.relative_to(artefacts)
        damage(folder / name, kind, other, draw)
        names = (path.name, artefact) if kind == "remove" else (path.name,)
        outcome, error = outcome_of(command, capsys, names)
        outcomes.setdefault(outcome, []).append((str(name), kind, error))
        for left in (folder / "out", folder / "out.parquet"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    check_refused(artefact, outcomes)


@pytest.mark.parametrize("kind", ["flip", "truncate", "exchange"])
def test_a_damaged_training_log_is_named(
    workplace: Callable[..., Path], capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = workplace()
    draw, path = random.Random(kind), folder / "towers/metrics.jsonl"
    for _ in range(3):
        before = path.read_bytes()
        damage(path, kind, folder / "encoder/metrics.jsonl", draw)
        evaluate = READERS["towers"][1]
        assert outcome_of(evaluate, capsys, ("metrics.jsonl",))[0] == "refused"
        path.write_bytes(before)


WRITTEN_AT_ONCE = ("prepared", "fusion", "index", "text_index", "table", "centred")
RESUMED = [name for name in COMMANDS if name in READERS and name not in WRITTEN_AT_ONCE]


@pytest.mark.parametrize("artefact", RESUMED)
def test_a_damaged_run_is_not_resumed(
    artefacts: Path, workplace: Callable[..., Path], capsys: pytest.CaptureFixture[str], artefact: str
) -> None:
    """Checkpoints, recorded inputs and settings."""
    folder = workplace(artefact)
    run, draw = artefacts / artefact, random.Random(artefact)
    names = [
        run / "config.toml",
        run / "data.json",
        *(path for path in run.rglob("checkpoints/**/*") if path.is_file()),
    ]
    outcomes: dict[str, list[object]] = {}
    for _ in range(max(2, PER_ARTEFACT // 2)):
        path, kind = draw.choice(names), draw.choice(("flip", "truncate"))
        shutil.rmtree(folder / artefact, ignore_errors=True)
        shutil.copytree(run, folder / artefact)
        damage(folder / path.relative_to(artefacts), kind, path, draw)
        outcome, error = outcome_of(COMMANDS[artefact], capsys, (path.name,))
        outcomes.setdefault(outcome, []).append((str(path.relative_to(artefacts)), kind, error))
    check_refused(artefact, outcomes)
