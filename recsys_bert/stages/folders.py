"""Temporary run folders, removed with the model that they belong to."""

import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from recsys_bert.training.run_folder import TEMPORARY

T = TypeVar("T")


@contextlib.contextmanager
def temporary_run(name: str) -> Iterator[tuple[Path, Callable[[T], T]]]:
    """Yield the path of a run folder, and a function that ties the folder to an object, which it returns.

    The folder is removed with that object, or at once where the block raises.
    """
    folder = tempfile.mkdtemp(prefix=TEMPORARY)

    def keep_with(model: T) -> T:
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
        return model

    try:
        yield Path(folder) / name, keep_with
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
