"""Folder of a search: begun once, and gone on with by the same recipe and space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError
from recsys_bert.files import is_leftover, read_json, write_json
from recsys_bert.locks import waiting_lock
from recsys_bert.stages.tuning.space import Dimension
from recsys_bert.stages.tuning.trainer import TrialTrainer
from recsys_bert.training.run_folder import check_writable


def begin_folder(out: Path, trainer: TrialTrainer, space: Sequence[Dimension], monitor: str) -> None:
    """Create the folder with ``study.json``, or check that it holds this search.

    Raises:
        InputError: It holds another search, or something else; or cannot be written.
    """
    about = {
        "trains": trainer.title,
        "monitor": monitor,
        "space": {one.name: str(one) for one in space},
        "recipe": trainer.recipe,
    }
    path = out / "study.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out names the folder of the search. Choose another.")
    if out.is_dir() and not path.exists() and not all(_is_ours(entry) for entry in out.iterdir()):
        raise InputError(f"{out} is not empty and holds no search (study.json is missing). Choose another --out.")
    check_writable(out)
    with waiting_lock(out / ".study.lock"):
        if not path.exists():
            write_json(path, about, sealed=True)
            return
        before = read_json(path, sealed=True)
    if changes := _differences(before, about):
        raise InputError(f"{out} holds another search ({changes[0]}). Choose another --out, or delete it.")


def _is_ours(entry: Path) -> bool:
    """True for the lock of another process that begins the same search."""
    return is_leftover(entry) or entry.name == ".study.lock"


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Differences of two nested dicts, one line each."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [] if before == now else [f"{name} was {before}, now {now}"]
    return [
        line
        for key in dict.fromkeys([*before, *now])
        for line in _differences(before.get(key, "not there"), now.get(key, "not there"), f"{name}.{key}".strip("."))
    ]
