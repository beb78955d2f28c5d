"""A run folder: begun once, gone on with only where nothing changed; written to by the first process alone."""

import contextlib
import dataclasses
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError
from recsys_bert.files import fingerprint, read_json, write_json
from recsys_bert.settings import read_config, write_config


def is_first_process() -> bool:
    """Whether this process is the one that writes; under ``torchrun`` there are several."""
    return os.environ.get("RANK", "0") == "0"


class Checked(Exception):
    """Everything that bad input can stop went well; raised by ``begin`` within ``only_checking``."""


_only_checking = ContextVar("only_checking", default=False)


@contextlib.contextmanager
def only_checking() -> Iterator[None]:
    """Let a training pipeline run up to where it would begin to train; there it leaves the block, nothing written.

    Raises:
        InputError: What the pipeline has to say.
    """
    token = _only_checking.set(True)
    try:
        with contextlib.suppress(Checked):
            yield
    finally:
        _only_checking.reset(token)


def begin(out: Path, config: Any) -> None:
    """Create the run folder with its ``config.toml``, or check that the run there is this one, to go on with.

    Raises:
        InputError: Another run lies there, or no folder can be written there.
        Checked: Within ``only_checking``, after those checks.
    """
    exists = is_first_process() and check_out(out, config)  # the others might see a folder half made
    if _only_checking.get():
        raise Checked
    if not is_first_process():
        return
    if exists:
        print(f"{out} holds this run already: going on where it stopped.", file=sys.stderr)
    else:
        write_config(config, out / "config.toml")


def run_kind(run: Path) -> str | None:
    """Command that wrote a run folder, from the first line of its ``config.toml``; None where that does not say."""
    try:
        with (run / "config.toml").open(encoding="utf-8") as file:
            named = re.match(r"# resolved settings of ([\w -]+), recsys-bert", file.readline())
    except (OSError, UnicodeDecodeError):
        return None
    return named[1] if named else None


def check_out(out: Path, config: Any) -> bool:
    """Whether ``out`` holds this run already.

    Raises:
        InputError: Another run, or something else, lies there.
    """
    path = out / "config.toml"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out names the folder of the run. Choose another.")
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise InputError(f"{out} is not empty and holds no run (config.toml is missing). Choose another --out.")
        return False
    try:
        old = read_config(type(config), path)
    except InputError as error:
        said = str(error).splitlines()[0]
        raise InputError(
            f"{out} holds a run of another command, or its config.toml is damaged ({said}) Choose another --out."
        ) from error
    if differing := _differences(old, config):
        raise InputError(
            f"{out} holds a run with other settings ({', '.join(differing)}). Choose another --out, or delete it."
        )
    return True


def check_writable(folder: Path) -> None:
    """Make a folder for results, or find out now, not after hours of work, that nothing can be written there.

    Raises:
        InputError: Nothing can.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}. Choose another --out.") from error


def check_files_unchanged(out: Path, files: Sequence[Path]) -> None:
    """Note the contents of the files that a run reads, or check that they are the same when it goes on.

    See ``check_unchanged``.
    """
    check_unchanged(out, {path: fingerprint([path]) for path in files})


def check_unchanged(out: Path, contents: dict[Path, str]) -> None:
    """Keep ``out/data.json``: what the run was begun with.

    Args:
        out: The run folder.
        contents: A digest of the contents, by path.

    Raises:
        InputError: Something was changed since the run began.
    """
    path, now = out / "data.json", {str(path): digest for path, digest in contents.items()}
    if not path.exists():
        if is_first_process():
            write_json(path, now)
        return
    before = read_json(path)
    if changed := [name for name, digest in now.items() if before.get(name, digest) != digest]:
        raise InputError(
            f"{changed[0]} is not what {out} was begun with. Put the old one back, or choose another --out."
        )


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    found = []
    for field in dataclasses.fields(new):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if dataclasses.is_dataclass(after) and dataclasses.is_dataclass(before):
            found += _differences(before, after, f"{prefix}{field.name}.")
        else:
            found.append(f"{prefix}{field.name} was {before}, now {after}")
    return found
