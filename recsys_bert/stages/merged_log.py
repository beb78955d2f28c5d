"""Several prepared logs as one, to pretrain an encoder of items by text on all of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.histories import ranges
from recsys_bert.errors import InputError
from recsys_bert.stages.prepare import prepare


def merge_logs(
    logs: Sequence[ClickDataset], item_vectors: Sequence[NDArray[np.floating]], out: Path
) -> tuple[ClickDataset, NDArray[np.float32]]:
    """Prepare several logs as one with the parts of each; ids get the log's number: ``0:12``.

    Args:
        logs: The logs.
        item_vectors: Of each log ``[n_rows, d]`` by its catalogue rows, all of one space.
        out: Folder of the merged log.

    Returns:
        The log, and vectors by its catalogue rows; zeros on special rows.

    Raises:
        InputError: Not one table of vectors a log, other numbers of rows, or other widths.
    """
    if len(logs) != len(item_vectors):
        raise InputError(f"there are {len(logs)} logs and {len(item_vectors)} tables of item vectors; give one a log.")
    for log, vectors in zip(logs, item_vectors, strict=True):
        if vectors.ndim != 2 or len(vectors) != log.n_rows or vectors.shape[1] != item_vectors[0].shape[1]:
            raise InputError(
                f"item vectors of {log.folder} have shape {list(vectors.shape)}; needed are {log.n_rows:,} rows, one a "
                f"catalogue row, of width {item_vectors[0].shape[1]} as those of the first log."
            )
    parts = {
        name: pl.concat([_events(log, number, name) for number, log in enumerate(logs)])
        for name in ("train", "validation", "test")
    }
    timed = all(log.has_times for log in logs)
    merged = prepare(log={**parts, "time": "timestamp" if timed else None}, out=out)
    rows = np.zeros((merged.n_rows, item_vectors[0].shape[1]), np.float32)
    for number, (log, vectors) in enumerate(zip(logs, item_vectors, strict=True)):
        ids = log.items["item_id"]
        at = merged.rows(_numbered(ids, number))
        known = at >= merged.vocabulary.first_item
        rows[at[known]] = vectors[log.vocabulary.first_item :][known]
    return merged, rows


def _events(log: ClickDataset, number: int, part: str) -> pl.DataFrame:
    """Events of one part of one log, users and items numbered; those of unknown items are left out."""
    data = log.histories
    borders = (data.offsets[:-1], data.train_end, data.validation_end, data.offsets[1:])
    first = ("train", "validation", "test").index(part)
    start, stop = borders[first], borders[first + 1]
    index = ranges(start, stop - start)
    frame = pl.DataFrame(
        {
            "user_id": _numbered(log.user_ids.gather(np.repeat(np.arange(data.n_users), stop - start)), number),
            "item_id": _numbered(log.ids(data.items[index]), number),
            "timestamp": data.times[index],
        }
    )
    return frame.drop_nulls("item_id")


def _numbered(ids: pl.Series, number: int) -> pl.Series:
    text = pl.lit(f"{number}:") + pl.col("id").cast(pl.String)
    return ids.rename("id").to_frame().select(text.alias("id"))["id"]
