"""Data files of a text task's training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nlp_tasks.config import FilesConfig
from nlp_tasks.qa.config import QuestionFilesConfig
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.examples import Table


def check_files(files: FilesConfig | QuestionFilesConfig) -> None:
    """Check that there is something to train on.

    Raises:
        InputError: No training file.
    """
    if files.train is None:
        raise InputError("no training file is given; name it with --data.train FILE.")


def read_splits(
    files: FilesConfig, texts: Sequence[str], label: str | None, *, separator: str | None = None, seed: int = 0
) -> "dict[str, Table]":
    """Read ``train``, ``validation`` (held out of the training file where there is none) and, if given, ``test``.

    Raises:
        InputError: No training file; or see ``read_table``.
    """
    from nlp_tasks.data import read_table
    from nlp_tasks.splits import hold_out, with_validation

    check_files(files)
    paths = {"train": files.train, "validation": files.validation, "test": files.test}
    parts = {name: read_table(path, files, texts, label, separator) for name, path in paths.items() if path is not None}
    return with_validation(parts, files.validation_share, seed, hold_out)
