"""Run folders: begun once, resumed with the same settings and data; only the first process writes."""

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
from recsys_bert.files import clear_folder, is_leftover, read_json, write_json
from recsys_bert.full_disk import explaining_full_disk
from recsys_bert.locks import only_writer
from recsys_bert.settings import read_config, write_config


def is_first_process() -> bool:
    """True in the process that writes; under ``torchrun`` there are several."""
    return os.environ.get("RANK", "0") == "0"


TEMPORARY = "recsys-bert-"
"""Beginning of the name of a temporary folder of runs."""


class Checked(Exception):
    """All checks passed; raised by ``begin`` within ``only_checking``."""


@contextlib.contextmanager
def run_folder(out: Path | str | None) -> Iterator[Path]:
    """The run folder ``out``, or a temporary one that is removed afterwards if there is none.

    Raises:
        InputError: There is none, and several processes train.
    """
    if out is not None:
        yield Path(out)
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("several processes share a run folder; name it with out.")
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        yield Path(folder)


def is_temporary(run: Path) -> bool:
    """True for a run in a temporary folder, of which nothing is left after an error."""
    return any(
        folder.name.startswith(TEMPORARY) and folder.parent == Path(tempfile.gettempdir())
        for folder in (run, *run.parents)
    )


_only_checking = ContextVar("only_checking", default=False)


@contextlib.contextmanager
def only_checking() -> Iterator[None]:
    """Run a training stage up to the start of training, without writing anything; it leaves the block there.

    Raises:
        InputError: See the stage.
    """
    token = _only_checking.set(True)
    try:
        with contextlib.suppress(Checked):
            yield
    finally:
        _only_checking.reset(token)


def end_of_checks() -> None:
    """Leave ``only_checking`` here; for stages that train nothing and so have no run to ``begin``.

    Raises:
        Checked: Within ``only_checking``.
    """
    if _only_checking.get():
        raise Checked


@contextlib.contextmanager
def begin(out: Path, config: Any) -> Iterator[None]:
    """Create the run folder with its ``config.toml``, or resume the run there; within the block it is locked.

    A run may be prolonged: ``train.epochs`` and ``train.patience`` may be higher than before.

    Raises:
        InputError: Another run lies there, another process writes it, or no folder can be written there; in the block,
            the disk is full.
        Checked: Within ``only_checking``, after those checks.
    """
    if not is_first_process():  # it might see a folder half written
        if _only_checking.get():
            raise Checked
        yield
        return
    if _only_checking.get():
        _changed_settings(out, config)
        raise Checked
    with only_writer(out), explaining_full_disk(out):
        old, changes = _changed_settings(out, config)
        if old is None or changes:
            write_config(config, out / "config.toml")
        clear_folder(out)  # also beside files that are written once
        if old is not None:
            print(f"{out} holds this run already: {_resumption(config, changes)}.", file=sys.stderr)
        yield


def _changed_settings(out: Path, config: Any) -> "tuple[Any, list[_Change]]":
    """Settings of the run in ``out``, or None, and how they differ.

    Raises:
        InputError: Another run lies there.
    """
    old = _read_old(out, type(config))
    changes = [] if old is None else _changes(old, config)
    _refuse(out, [change for change in changes if not change.prolongs])
    return old, changes


def run_kind(run: Path) -> str | None:
    """Command that wrote a run folder, from the first line of its ``config.toml``; None where that does not say."""
    try:
        with (run / "config.toml").open(encoding="utf-8") as file:
            named = re.match(r"# resolved settings of ([\w -]+), recsys-bert", file.readline())
    except (OSError, UnicodeDecodeError):
        return None
    return named[1] if named else None


def check_out(out: Path, config: Any) -> bool:
    """Return True if ``out`` holds a run with exactly these settings, False if nothing is there.

    Raises:
        InputError: Another run, or something else, lies there.
    """
    old = _read_old(out, type(config))
    _refuse(out, [] if old is None else _changes(old, config))
    return old is not None


@dataclasses.dataclass(frozen=True)
class _Change:
    """Setting that differs from that of the run in the folder."""

    name: str
    before: Any
    after: Any

    @property
    def prolongs(self) -> bool:
        """True if the run can go on with it."""
        if self.name == "train.patience":
            return bool(self.before > 0 and (self.after == 0 or self.after > self.before))
        return bool(self.name == "train.epochs" and self.after > self.before)


def _resumption(config: Any, changes: Sequence[_Change]) -> str:
    """Describe how the run goes on."""
    text = "going on where it stopped"
    if changes:
        text += " with " + ", ".join(f"{change.name} {change.after} instead of {change.before}" for change in changes)
    if any(change.name == "train.epochs" for change in changes):
        schedule = config.train.schedule.name
        if schedule not in ("constant", "inverse_sqrt"):
            text += f"; the {schedule} schedule now ends with the new epochs, so the learning rate rises again first"
    return text


def _read_old(out: Path, kind: type) -> Any:
    """Read the settings of the run in ``out``; None if the folder is absent or empty."""
    path = out / "config.toml"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out names the folder of the run. Choose another.")
    if not path.exists():
        if out.exists() and not all(is_leftover(entry) for entry in out.iterdir()):
            raise InputError(f"{out} is not empty and holds no run (config.toml is missing). Choose another --out.")
        return None
    try:
        return read_config(kind, path, resolved=True)
    except InputError as error:
        message = str(error).splitlines()[0]
        raise InputError(
            f"{out} holds a run of another command, or its config.toml is damaged ({message}) Choose another --out."
        ) from error


def _refuse(out: Path, changes: Sequence[_Change]) -> None:
    if changes:
        differing = ", ".join(f"{change.name} was {change.before}, now {change.after}" for change in changes)
        raise InputError(f"{out} holds a run with other settings ({differing}). Choose another --out, or delete it.")


def check_writable(folder: Path) -> None:
    """Create a folder for results and check, before any work, that it can be written.

    Raises:
        InputError: It cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}. Choose another --out.") from error


def check_unchanged(out: Path, contents: dict[Path, str]) -> None:
    """Record fingerprints in ``out/data.json``, or check them when the run is resumed.

    Args:
        out: The run folder.
        contents: Fingerprint of the contents by path.

    Raises:
        InputError: Contents changed since the run began.
    """
    path, now = out / "data.json", {str(path): digest for path, digest in contents.items()}
    if not path.exists():
        if is_first_process():
            write_json(path, now, sealed=True)
        return
    before = read_json(path, sealed=True)
    if changed := [name for name, digest in now.items() if before.get(name, digest) != digest]:
        raise InputError(
            f"{changed[0]} is not what {out} was begun with. Put the old one back, or choose another --out."
        )


def _changes(old: Any, new: Any, prefix: str = "") -> list[_Change]:
    changes = []
    for field in dataclasses.fields(new):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if dataclasses.is_dataclass(after) and dataclasses.is_dataclass(before):
            changes += _changes(before, after, f"{prefix}{field.name}.")
        else:
            changes.append(_Change(f"{prefix}{field.name}", before, after))
    return changes
