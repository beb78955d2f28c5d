"""Item lists and numbers by column as flags and recipes name them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset


def item_lists(dataset: "ClickDataset", values: Sequence[str]) -> list[Any] | None:
    """Lists for ``allowed_rows``: files, and values by column.

    Args:
        dataset: The log.
        values: File names, and ``COLUMN=VALUE`` of side columns.

    Raises:
        InputError: One is neither.
    """
    from recsys_bert.retrieval.item_filter import column_names

    lists: list[Any] = []
    by_column: dict[str, list[str]] = {}
    for value in values:
        name, equals, part = value.partition("=")
        if equals and name in ("item_id", *column_names(dataset)):
            by_column.setdefault(name, []).append(part)
        elif Path(value).is_file():
            lists.append(Path(value))
        else:
            columns = ", ".join(column_names(dataset)) or "none"
            raise InputError(
                f"{value!r} is no file, and no COLUMN=VALUE of the items' side table, whose columns are: {columns}."
            )
    return [*lists, *([by_column] if by_column else [])] or None


def numbers_by_column(values: Sequence[str]) -> dict[str, int]:
    """Parse ``COLUMN=N``.

    Raises:
        InputError: Another form, or a number under 1.
    """
    numbers: dict[str, int] = {}
    for value in values:
        name, _, number = value.rpartition("=")
        if not name or not number.isdecimal() or int(number) < 1:
            raise InputError(f"max_per is {value!r}; a column and a number of at least 1 are needed, as in category=2.")
        numbers[name] = int(number)
    return numbers
