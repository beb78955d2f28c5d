"""Observation of trainings from outside the loop: every validation as it comes, and the end."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from recsys_bert.errors import InputError


@dataclass
class Watch:
    """Observer of the trainings of one run.

    Args:
        folder: The run folder.
        on_validation: Called with the epoch and the value of the monitored metric; what it raises ends the training.
    """

    folder: Path
    on_validation: Callable[[int, float], None]
    best: float | None = None
    """Best validation of the training that finished last; None before that."""
    _epochs_before: int = 0
    _last: int = 0

    def begin(self, run: Path, *, validates: bool) -> None:
        """Note the begin of a training; the epochs of several in one run are counted together.

        Raises:
            InputError: It is that of the run, and nothing is validated.
        """
        if run == self.folder and not validates:
            raise InputError(
                "this training validates nothing, so its settings cannot be compared. Hold out validation data: "
                "prepare the log with another split, or name a validation file."
            )
        self._epochs_before = self._last

    def validated(self, epoch: int, value: float) -> None:
        """Note a validation."""
        self._last = self._epochs_before + epoch
        self.on_validation(self._last, value)


_watch: ContextVar[Watch | None] = ContextVar("watch of trainings", default=None)


@contextlib.contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Observe the trainings within the block."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def current_watch() -> Watch | None:
    """The observer of the trainings that begin now."""
    return _watch.get()
