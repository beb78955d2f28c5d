"""Lists of item rows as frames of ids."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.retrieval.ranker import Lists

_TITLES = ("title", "item_title", "movie_title", "name", "item_name", "product_name")


def list_frame(dataset: "ClickDataset", lists: "Lists", keys: pl.Series, source: str | None = None) -> pl.DataFrame:
    """One line an item: the key, ``rank`` from 1, ``item_id``, ``score``, ``title`` where the catalogue has one.

    Args:
        dataset: The log.
        lists: Rows and scores.
        keys: Key of each list; its name is that of the first column.
        source: Value of a further column ``source``; None leaves it out.
    """
    query, index = np.nonzero(lists[0] >= 0)
    rows = lists[0][query, index]
    columns = {"rank": (index + 1).astype(np.int32), "item_id": dataset.ids(rows)}
    frame = pl.DataFrame({keys.name: keys.gather(query), **columns, "score": lists[1][query, index]})
    if source is not None:
        frame = frame.with_columns(source=pl.lit(source))
    title = title_column(dataset)
    if title is None:
        return frame
    return frame.with_columns(title=dataset.items[title].gather(rows - dataset.vocabulary.first_item))


def title_column(dataset: "ClickDataset") -> str | None:
    """Side column of the items that holds titles; None where there is none."""
    return next((name for name in _TITLES if name in dataset.items.columns), None)


def in_order(frames: list[pl.DataFrame], keys: pl.Series) -> pl.DataFrame:
    """Frames of lists as one, in the order of the keys."""
    order = pl.DataFrame({keys.name: keys}).with_row_index("position")
    joined = pl.concat(frames).join(order, on=keys.name, how="left", maintain_order="left")
    return joined.sort("position", "rank").drop("position")


def popular_lists(
    dataset: "ClickDataset",
    n: int,
    k: int,
    allowed: NDArray[np.bool_] | None,
    recent: NDArray[np.float32] | None = None,
) -> "Lists":
    """The same list for ``n`` users: the items with the largest summed weight in training; scores are their shares.

    Args:
        dataset: The log.
        n: Number of lists.
        k: Their length.
        allowed: ``[n_rows]``: rows that may be listed; None allows all.
        recent: Gain of each row from recency: orders the items instead, and popularity settles ties.
    """
    vocabulary, first = dataset.vocabulary, dataset.vocabulary.first_item
    values = vocabulary.weights / max(vocabulary.weights.sum(), 1e-12)
    order = np.argsort(-values[first:], kind="stable") + first
    if recent is not None:
        gains = np.zeros(len(values))
        gains[: len(recent)] = recent[: len(values)]
        order, values = order[np.argsort(-gains[order], kind="stable")], gains
    order = order[:k] if allowed is None else order[allowed[order]][:k]
    rows, scores = np.full(k, -1, np.int32), np.full(k, -np.inf, np.float32)
    rows[: len(order)], scores[: len(order)] = order, values[order]
    return np.tile(rows, (n, 1)), np.tile(scores, (n, 1))
