"""Bad input: a command line in a folder of valid inputs, one of which is spoilt, and the message it must give."""

import contextlib
import io
import shlex
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.cli import main
from recsys_bert.checksums import write_checksums

Spoil = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One bad input."""

    title: str
    """The fault, in words."""

    command: str
    """Arguments of ``recsys-bert``, in the folder of valid inputs."""

    message: str
    """Part of the message."""

    spoil: Spoil | None = None
    """Makes the bad input in a copy of that folder."""


def write_text(name: str, content: str) -> Spoil:
    """Write a text file."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    return spoil


def write_bytes(name: str, content: bytes) -> Spoil:
    """Write a binary file."""

    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


def append(name: str, text: str) -> Spoil:
    """Append text to a file."""

    def spoil(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return spoil


def replaced(name: str, old: str, new: str) -> Spoil:
    """Replace all occurrences in a text file."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return spoil


def resealed(spoil: Spoil, artefact: str) -> Spoil:
    """Spoil a file of an artefact whose checksums are right all the same, as of one that was made anew."""

    def spoil_and_seal(folder: Path) -> None:
        spoil(folder)
        write_checksums(folder / artefact)

    return spoil_and_seal


def truncated(name: str) -> Spoil:
    """Keep the first half of a file, as a full disk does."""

    def spoil(folder: Path) -> None:
        path = sorted(folder.glob(name))[0]
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])

    return spoil


def call(folder: Path, line: str) -> tuple[int, str]:
    """Run one command line in ``folder``.

    Returns:
        Exit status and stderr.
    """
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(shlex.split(line))
        except SystemExit as leave:  # of the flag parser
            status = leave.code if isinstance(leave.code, int) else 1
    return status, printed.getvalue().strip()


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of all files and folders below a folder."""
    files = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    folders = {str(path.relative_to(folder)): (0, 0) for path in folder.rglob("*") if path.is_dir()}
    return folders | {name: (stat.st_size, stat.st_mtime_ns) for name, stat in files.items()}


def run_all(folder: Path, lines: Iterable[str]) -> None:
    """Run command lines that must succeed."""
    for line in lines:
        status, message = call(folder, line)
        assert status == 0, f"recsys-bert {line}: {message}"


def faults_of(case: Case, valid: Path, folder: Path) -> list[str]:
    """Run one bad input in a fresh copy of ``valid``; list what is wrong with how it ends."""
    shutil.copytree(valid, folder)
    if case.spoil:
        case.spoil(folder)
    before = snapshot(folder)
    status, message = call(folder, case.command)
    after = snapshot(folder)
    print(f"$ recsys-bert {case.command}\n{message}")  # pytest tests/cases -rP lists all messages
    faults = [f"status {status}"] * (status != 2)
    faults += [f"does not say {case.message!r}"] * (case.message not in " ".join(message.split()))
    faults += ["traceback"] * ("Traceback" in message)
    if changed := sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)):
        faults.append(f"left {', '.join(changed)}")
    return faults
