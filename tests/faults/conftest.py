"""Artefacts of every kind, made once a session."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.commands import COMMANDS, write_files

Killed = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def killed() -> Iterator[Killed]:
    """Run a command that dies at its n-th file event, ``killed(command, folder, n)``; 0 lets it live. As ``user``."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("kill.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdout.readline()

        def run(command: list[str], folder: Path, stop: int, *, user: int = os.geteuid()) -> dict[str, Any]:
            request = {"command": command, "folder": str(folder), "stop": stop, "user": user}
            print(json.dumps(request), file=server.stdin, flush=True)
            return dict(json.loads(server.stdout.readline()))

        yield run
        server.stdin.close()


@pytest.fixture(scope="session")
def events() -> dict[str, int]:
    """File events of each command, filled by ``artefacts``."""
    return {}


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory, killed: Killed, events: dict[str, int]) -> Path:
    """Folder with the files that ``COMMANDS`` read and the artefacts that they write."""
    folder = tmp_path_factory.mktemp("artefacts")
    write_files(folder)
    for name, command in COMMANDS.items():
        done = killed(command, folder, 0)
        assert done["status"] == 0, (name, done["stderr"])
        events[name] = done["events"]
    return folder


@pytest.fixture
def workplace(artefacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Working folder with copies of the files and of all artefacts but those that are named."""

    def copy(*without: str) -> Path:
        for path in artefacts.iterdir():
            if path.name not in without:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, tmp_path / path.name)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return copy
