"""Lists of items: checked, printed or written."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.support.outputs import write_frame
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset

_TITLES = ("title", "item_title", "movie_title", "name", "item_name", "product_name")


@dataclass(frozen=True)
class Found:
    """Items found for each question.

    Attributes:
        rows: int32 ``[n, k]``, -1 where there were fewer.
        scores: float32 ``[n, k]``.
    """

    rows: "NDArray[np.int32]"
    scores: "NDArray[np.float32]"


def check_k(k: int, n_items: int) -> None:
    """Refuse, before anybody is encoded or anything searched, more items than there are.

    Raises:
        InputError: ``k`` is above ``n_items``.
    """
    if k > n_items:
        raise InputError(f"k is {k}; the catalogue has {n_items} items. Choose a smaller k.")


def check_replaceable(out: Path) -> None:
    """Refuse to put an index where something else lies.

    Raises:
        InputError: ``out`` is a file, or a folder that holds other things than an index, or other things as well.
    """
    from recsys_bert.files import check_nothing_lost

    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "index.json").is_file()):
        raise InputError(f"{out} is there and is no item index. Choose another --out, or remove it.")
    if out.is_dir():
        check_nothing_lost(out, ("index.json", "index.faiss", "rows.npy"), "an item index")


def as_frame(found: Found, dataset: "ClickDataset", keys: "pl.Series") -> "pl.DataFrame":
    """One line an item.

    Args:
        found: The lists.
        dataset: Knows ids and titles.
        keys: What each list answers, ``[n]``; its name becomes the first column's.

    Returns:
        The key, ``rank`` (from 1), ``item_id``, ``score`` and ``title`` where the side table has one.
    """
    import numpy as np
    import polars as pl

    query, place = np.nonzero(found.rows >= 0)
    rows = found.rows[query, place]
    columns = {"rank": (place + 1).astype(np.int32), "item_id": dataset.ids(rows), "score": found.scores[query, place]}
    frame = pl.DataFrame({keys.name: keys.gather(query), **columns})
    title = title_column(dataset)
    if title is not None:
        frame = frame.with_columns(title=dataset.items[title].gather(rows - dataset.vocabulary.first_item))
    return frame


def title_column(dataset: "ClickDataset") -> str | None:
    """Column of the items' side table that says how an item is called."""
    return next((name for name in _TITLES if name in dataset.items.columns), None)


def show(frame: "pl.DataFrame", told: dict[str, Any], out: Path | None, as_json: bool) -> dict[str, Any]:
    """Write the lists, or print them as a table or as one JSON object.

    Args:
        frame: As ``as_frame`` makes it.
        told: Counts and settings that belong to the lists.
        out: Where to write instead of printing.
        as_json: Print one JSON object; with ``out`` it holds the counts only.

    Returns:
        ``told``.

    Raises:
        InputError: ``out`` cannot be written.
    """
    if out is not None:
        write_frame(frame, out)
        print(f"{frame.height:,} items in {out}", file=sys.stderr)
    if as_json:
        print(json.dumps(told | ({} if out is not None else {"results": _grouped(frame)}), ensure_ascii=False))
    elif out is None:
        print(_table(frame), end="")
    return told


def _grouped(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    key = frame.columns[0]
    return [
        {key: part[key][0], "items": part.drop(key, "rank").to_dicts()}
        for part in frame.partition_by(key, maintain_order=True)
    ]


def _table(frame: "pl.DataFrame") -> str:
    """Plain text, one block a question."""
    key, lines = frame.columns[0], []
    frame = frame.cast({"item_id": str})
    width = max(map(len, frame["item_id"]), default=1)
    for part in frame.partition_by(key, maintain_order=True):
        lines.append(f"{key.removesuffix('_id')} {part[key][0]}")
        for line in part.iter_rows(named=True):
            title = f"  {line['title'] or ''}" if "title" in line else ""
            lines.append(f"  {line['rank']:>3}  {line['item_id']:<{width}}  {line['score']:>9.4f}{title}".rstrip())
    return "\n".join(lines) + "\n"


def known_rows(dataset: "ClickDataset", ids: Sequence[str]) -> "NDArray[np.int32]":
    """Rows of items that must be in the catalogue.

    Raises:
        InputError: Some are not.
    """
    rows = dataset.rows(list(ids))
    missing = [name for name, row in zip(ids, rows.tolist(), strict=True) if row < dataset.vocabulary.first_item]
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(ids):,} items are not in {dataset.folder}: {', '.join(map(repr, missing[:5]))}"
            f"{' …' if len(missing) > 5 else ''}"
        )
    return rows
