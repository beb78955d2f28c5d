"""Record of the events that a run was trained on, so that it is not evaluated on the same ones in silence."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

NAME = "trained_on.json"
_USERS = 1 << 16  # digested at a time


@dataclass(frozen=True)
class TrainingEvents:
    """The training events of a log."""

    log: str
    """Folder of the log, for messages."""

    digest: str
    """Of the events in order, and of the vocabulary."""

    last: int | None
    """Unix seconds of the last one; None where the log has no times, or no training event."""


def training_events(dataset: ClickDataset) -> TrainingEvents:
    """Digest the training events of a log; reads the histories once."""
    histories, digest = dataset.histories, sha256(dataset.fingerprint.encode())
    for first in range(0, histories.n_users, _USERS):
        users = slice(first, min(first + _USERS, histories.n_users))
        start, stop = int(histories.offsets[users.start]), int(histories.offsets[users.stop])
        lengths = np.diff(histories.offsets[users.start : users.stop + 1])
        is_training = np.arange(start, stop) < np.repeat(histories.train_end[users], lengths)
        digest.update(histories.items[start:stop][is_training].tobytes())
        digest.update((histories.train_end[users] - histories.offsets[users]).tobytes())
    trained = histories.train_end > histories.offsets[:-1]
    last = int(histories.times[histories.train_end[trained] - 1].max()) if dataset.has_times and trained.any() else None
    return TrainingEvents(dataset.folder.name, digest.hexdigest(), last)


def record_training(out: Path, dataset: ClickDataset, runs: Iterable[Path]) -> None:
    """Write into a run folder which events it, and the runs that it starts from, are trained on."""
    events = [training_events(dataset), *(one for run in runs for one in trained_on(run))]
    if trained_on(out) != (distinct := list(dict.fromkeys(events))):
        write_json(out / NAME, {"logs": [asdict(one) for one in distinct]}, sealed=True)


def trained_on(run: Path) -> list[TrainingEvents]:
    """Training events of a run and of those that it started from; empty where none are recorded.

    Raises:
        InputError: The record is damaged.
    """
    path = run / NAME
    if not path.is_file():
        return []
    try:
        return [TrainingEvents(**one) for one in read_json(path, sealed=True)["logs"]]
    except (TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path} is damaged: {error}. Train the run again.") from error


def overlap(run: Path, dataset: ClickDataset, split: Literal["validation", "test"]) -> str | None:
    """Warn of a run whose training events may be targets of this log's held-out events; None where they cannot be.

    They cannot where it was trained on this log's own training events, or only on events before the first target.
    """
    own = training_events(dataset)
    first = first_target(dataset, split)
    others = [one for one in trained_on(run) if one.digest != own.digest]
    return _warning(run, others, first, f"the {split} events of {dataset.folder.name}")


def overlap_with_times(run: Path, first: int | None, targets: str) -> str | None:
    """Warn of a run that was trained on events at or after ``first``, in unix seconds; None where there are none.

    Args:
        run: The run.
        first: Time of the first target; None where it is not known, which warns of nothing.
        targets: Description of the targets, for the message.
    """
    known = [one for one in trained_on(run) if one.last is not None]
    return None if first is None else _warning(run, known, first, targets)


def first_target(dataset: ClickDataset, split: Literal["validation", "test"]) -> int | None:
    """Unix seconds of the first held-out event of a split; None without times or without events."""
    histories = dataset.histories
    start = histories.train_end if split == "validation" else histories.validation_end
    stop = histories.validation_end if split == "validation" else histories.offsets[1:]
    times = histories.times[start[start < stop]]
    return int(times.min()) if dataset.has_times and len(times) else None


def _warning(run: Path, events: Iterable[TrainingEvents], first: int | None, targets: str) -> str | None:
    late = [one for one in events if one.last is None or first is None or one.last >= first]
    if not late:
        return None
    until = max((one.last for one in late if one.last is not None), default=None)
    seconds = "" if until is None else f", until {np.datetime64(until, 's')}"
    begin = "" if first is None else f", which begin at {np.datetime64(first, 's')}"
    return (
        f"{run.name} was trained on other events than this log's training events ({late[0].log}{seconds}): {targets}"
        f"{begin}, may be among them, and its metrics too good. Train it on this log, or on events before them."
    )
