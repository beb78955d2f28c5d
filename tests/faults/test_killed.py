"""Commands that are killed at a file event: the next start of the same command gives the same artefact."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.commands import COMMANDS

Killed = Callable[[list[str], Path, int], dict[str, Any]]
PER_COMMAND = int(os.environ.get("KILLS_PER_COMMAND", "1"))  # 0: at every event
TIMED = {
    "seconds",
    "build_seconds",
    "users_per_second",
    "queries_per_second",
    "training",
    "sha256",
}  # and what is drawn over seconds
SKIPPED = {"checkpoints", "report.html", "checksums.sha256"}  # of times, or of what is measured in them


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file of an artefact; JSON without times."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or SKIPPED & set(name.split("/")):
            continue
        data = path.read_bytes()
        if path.suffix in (".json", ".jsonl"):
            data = json.dumps([_plain(json.loads(line)) for line in _objects(path)]).encode()
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests


def _objects(path: Path) -> list[str]:
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in TIMED}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def left_beside(folder: Path) -> list[str]:
    """Hidden files and folders, which only a killed process leaves."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("artefact", COMMANDS)
def test_a_killed_command_starts_again_and_gives_the_same(
    artefacts: Path, workplace: Callable[..., Path], killed: Killed, events: dict[str, int], artefact: str, there: bool
) -> None:
    if there and (artefacts / artefact / "checkpoints").exists():
        pytest.skip("a finished run is resumed, not replaced")
    folder, command, expected = workplace(artefact), COMMANDS[artefact], contents(artefacts / artefact)

    def reset() -> None:
        shutil.rmtree(folder / artefact, ignore_errors=True)
        if there:
            shutil.copytree(artefacts / artefact, folder / artefact)

    points = range(1, events[artefact] + 1)
    if PER_COMMAND:
        points = sorted(random.Random(f"{artefact} {there}").sample(points, min(PER_COMMAND, len(points))))
    outcomes: dict[str, list[str]] = {"survived": []}
    for stop in points:
        reset()
        assert killed(command, folder, stop)["status"] == 137
        if there and not (folder / artefact).is_dir():
            outcomes.setdefault("lost", []).append(f"event {stop}")
            continue
        again = killed(command, folder, 0)
        outcome = started_again(again, folder, artefact, expected)
        outcomes.setdefault(outcome, []).append(f"event {stop} of {events[artefact]}: {again['stderr']}")
    print(f"{artefact}, {'replaced' if there else 'new'}:", {name: len(cases) for name, cases in outcomes.items()})
    assert list(outcomes) == ["survived"], {name: cases for name, cases in outcomes.items() if name != "survived"}


def started_again(again: dict[str, Any], folder: Path, artefact: str, expected: dict[str, str]) -> str:
    """Outcome of the next start after a kill."""
    if again["status"]:
        return "refused" if again["status"] == 2 else "traceback"
    if contents(folder / artefact) != expected:
        return "another artefact"
    return "leftovers" if left_beside(folder) else "survived"
