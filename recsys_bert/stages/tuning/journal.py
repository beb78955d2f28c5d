"""Journal of a study: one file that several processes append to, whole after any of them was killed."""

import contextlib
import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from recsys_bert.locks import waiting_lock


class _Lock(JournalFileOpenLock):
    """Lock that the system frees with its process; optuna's own ones outlive a killed process for 30 s.

    A line that a killed process left half written is cut off before the next one is appended.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal, self._held = journal, contextlib.ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(waiting_lock(self._journal.with_name(f".{self._journal.name}.lock")))
        _cut_partial_line(self._journal)
        return True

    def release(self) -> None:
        self._held.close()


def _cut_partial_line(journal: Path) -> None:
    with open(journal, "rb+") as file:
        if not (size := file.seek(0, os.SEEK_END)):
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def open_journal(path: Path) -> JournalStorage:
    """Open the journal at ``path``, or begin one."""
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(path)))
