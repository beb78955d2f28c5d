"""Disks without room: a message that names the output, and the same command goes on when there is room again."""

import contextlib
import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.commands import COMMANDS
from faults.test_killed import contents, left_beside

from pipelines.cli import main

resource = pytest.importorskip("resource")
LIMITS = [int(n) for n in os.environ.get("FILE_SIZES", "0").split()]  # bytes at which a write fails; 0 draws one


@contextlib.contextmanager
def largest_file(n: int) -> Iterator[None]:
    """Let no file grow beyond ``n`` bytes: writes fail in every library, as on a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("artefact", COMMANDS)
def test_a_command_without_room_says_so_and_goes_on_later(
    artefacts: Path, workplace: Callable[..., Path], artefact: str
) -> None:
    folder, command = workplace(artefact), COMMANDS[artefact]
    sizes = [path.stat().st_size for path in (artefacts / artefact).rglob("*") if path.is_file()]
    for limit in LIMITS:
        shutil.rmtree(folder / artefact, ignore_errors=True)
        n = limit or random.Random(artefact).randrange(1, max(sizes) - 1)
        printed = io.StringIO()  # a file of pytest's would not grow either
        with largest_file(n), contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            status = main(command)
        message = printed.getvalue().rpartition("error: ")[2]
        assert (status, "a file may not grow that large" in message) == (2, True), (n, message)
        assert "Make room, then run the same command again" in message
        assert artefact in message
        assert left_beside(folder) == []
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            assert main(command) == 0
        assert contents(folder / artefact) == contents(artefacts / artefact)
