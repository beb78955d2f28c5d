"""Artefacts of every kind, made once a session."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.commands import COMMANDS, write_files

from pipelines.cli import main


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder with the files that ``COMMANDS`` read and the artefacts that they write."""
    folder = tmp_path_factory.mktemp("artefacts")
    write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, command in COMMANDS.items():
            assert main(command) == 0, name
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
