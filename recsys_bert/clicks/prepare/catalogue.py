"""Catalogue: rows of the items of a log and of its side table, from training counts only."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.config import VocabularyConfig
from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.splits import Borders, training_mask
from recsys_bert.clicks.vocabulary import UNKNOWN, Vocabulary, unknown_rows
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class Catalogue:
    """Rows of all items of the log and of the side table.

    Args:
        vocabulary: Items with an embedding row.
        cold_ids: Items of the side table without a training event, sorted; their rows follow the vocabulary's.
        row_of_code: Row of each item code of the log, int32.
        rare: Training items below ``min_count``; they share the unknown rows.
        n_inherited: Items of the vocabulary that this one grew from; their rows come first.
    """

    vocabulary: Vocabulary
    cold_ids: pl.Series
    row_of_code: NDArray[np.int32]
    rare: int
    n_inherited: int = 0

    @property
    def n_rows(self) -> int:
        """Special rows, training items and cold items."""
        return self.vocabulary.size + len(self.cold_ids)

    def ids(self) -> pl.Series:
        """Ids of all rows from ``vocabulary.first_item`` on."""
        return pl.concat([self.vocabulary.item_ids[self.vocabulary.first_item :], self.cold_ids])


def training_counts(events: Events, borders: Borders) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Training events of each item code, and their summed weights."""
    counts = np.zeros(len(events.item_ids), np.int64)
    weights = np.zeros(len(counts), np.float64)
    for users, part in events.chunks():
        mask = training_mask(events.offsets, borders.train_end, users, part)
        items = events.items[part][mask]
        counts += np.bincount(items, minlength=len(counts))
        if events.weights is not None:
            weights += np.bincount(items, events.weights[part][mask], minlength=len(counts))
    return counts, weights if events.weights is not None else counts.astype(np.float64)


def build_catalogue(
    events: Events,
    borders: Borders,
    config: VocabularyConfig,
    side_ids: pl.Series | None = None,
    basis: Vocabulary | None = None,
) -> Catalogue:
    """Number the items: by decreasing training count, then id; then items of the side table without training events.

    Args:
        events: Sorted events.
        borders: End of training.
        config: Thresholds.
        side_ids: Ids of the item side table, of the log's type.
        basis: Earlier vocabulary; its items keep their rows, whatever their counts, and the others follow.

    Raises:
        InputError: No item is left.
    """
    counts, weights = training_counts(events, borders)
    inherited, inherited_rows = _inherited(events.item_ids, basis)
    is_new = np.ones(len(counts), bool)
    is_new[inherited] = False
    order = np.argsort(-counts, kind="stable")  # codes are in the order of ids
    order = order[(counts[order] >= config.min_count) & is_new[order]]
    vocabulary, row_of_code = _vocabulary(events.item_ids, counts, weights, order, config, basis)
    row_of_code[inherited] = inherited_rows
    vocabulary.counts[inherited_rows], vocabulary.weights[inherited_rows] = counts[inherited], weights[inherited]
    rare = int(((counts > 0) & (counts < config.min_count) & is_new).sum())
    if not vocabulary.n_items:
        most = int(counts.max()) if len(counts) else 0
        raise InputError(
            f"vocabulary.min_count is {config.min_count}, but no item has more than {most:,} training events: none "
            f"would get a row. Choose at most {most:,}."
        )
    n_inherited = basis.n_items if basis else 0
    cold = pl.Series("item_id", [], dtype=events.item_ids.dtype)
    if side_ids is not None:
        warm = [events.item_ids.filter(pl.Series(counts > 0))]
        warm += [basis.item_ids[basis.first_item :]] if basis else []
        others = pl.concat(warm).rename("item_id").to_frame()
        ids = side_ids.unique().drop_nulls().rename("item_id").to_frame()
        cold = ids.join(others, on="item_id", how="anti")["item_id"].sort()
        _assign_cold_rows(events.item_ids, cold, vocabulary.size, row_of_code)
    return Catalogue(vocabulary, cold, row_of_code, rare, n_inherited)


def _inherited(item_ids: pl.Series, basis: Vocabulary | None) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Codes of the items that have a row in the basis, and those rows."""
    if basis is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    rows = basis.rows(item_ids)
    codes = np.flatnonzero(rows >= basis.first_item)
    return codes, rows[codes]


def _vocabulary(
    item_ids: pl.Series,
    counts: NDArray[np.int64],
    weights: NDArray[np.float64],
    order: NDArray[np.int64],
    config: VocabularyConfig,
    basis: Vocabulary | None,
) -> tuple[Vocabulary, NDArray[np.int32]]:
    """Vocabulary of the basis' rows, with counts of 0, then of the codes in ``order``; and the row of each code."""
    n_unknown = basis.n_unknown if basis else config.unknown_rows
    special = UNKNOWN + n_unknown
    first_ids = basis.item_ids if basis else pl.Series([None] * special, dtype=item_ids.dtype)
    row_of_code = np.full(len(counts), UNKNOWN, np.int32)
    if n_unknown > 1:
        row_of_code[:] = unknown_rows(item_ids, n_unknown)
    row_of_code[order] = np.arange(len(first_ids), len(first_ids) + len(order), dtype=np.int32)
    vocabulary = Vocabulary(
        pl.concat([first_ids, item_ids.gather(order)]).rename("item_id"),
        np.concatenate([np.zeros(len(first_ids), np.int64), counts[order]]),
        np.concatenate([np.zeros(len(first_ids)), weights[order]]),
        n_unknown,
    )
    return vocabulary, row_of_code


def _assign_cold_rows(item_ids: pl.Series, cold: pl.Series, first: int, row_of_code: NDArray[np.int32]) -> None:
    """Map codes of held-out items that are in the side table to their cold rows."""
    rows = pl.DataFrame({"id": cold, "row": np.arange(first, first + len(cold), dtype=np.int32)})
    codes = pl.DataFrame({"id": item_ids, "code": np.arange(len(item_ids))})
    joined = codes.join(rows, on="id", how="inner")
    row_of_code[joined["code"].to_numpy()] = joined["row"].to_numpy()
