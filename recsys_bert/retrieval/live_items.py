"""Items that were put into a model's catalogue after its training, by their text, and items that were removed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.retrieval.cold_config import ColdItemsConfig
from recsys_bert.retrieval.cold_items import Floats, shrunk, text_neighbours, trained_rows, warm_rows
from recsys_bert.retrieval.extended_ranker import ExtendedRanker, extended, models_of
from recsys_bert.retrieval.ranker import Ranker

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class LiveItems:
    """Items beside those that a model was trained on.

    Args:
        added: Items that the log does not have, in the order of their rows, which follow the log's: ``item_id`` and
            columns of its items. None without any.
        rows: Catalogue row of each item that was put, ``[m]``, distinct.
        texts: Their text vectors, ``[m, dim]``.
        vectors: Their vectors for each model of ``models_of(ranker)``, ``[m, d]`` each.
        removed: Rows that are not listed any more.
    """

    added: pl.DataFrame | None
    rows: Rows
    texts: Floats = field(repr=False)
    vectors: tuple[Floats, ...] = field(repr=False)
    removed: Rows

    @classmethod
    def none(cls, ranker: Ranker, dim: int) -> "LiveItems":
        """No item put or removed.

        Args:
            ranker: The model.
            dim: Width of text vectors.
        """
        rows = np.empty(0, np.int32)
        vectors = tuple(np.empty((0, model.shape[1]), np.float32) for model in models_of(ranker))
        return cls(None, rows, np.empty((0, dim), np.float32), vectors, rows)

    @property
    def is_empty(self) -> bool:
        """True iff nothing was put in or removed."""
        return not len(self.rows) and not len(self.removed)

    def of_width(self, dim: int) -> "LiveItems":
        """The same removed items, before any is put in, for text vectors of another width."""
        return replace(self, texts=np.empty((0, dim), np.float32))

    def put(self, rows: Rows, texts: Floats, vectors: Sequence[Floats], added: pl.DataFrame | None) -> "LiveItems":
        """Put further items; those that are there get the new vectors, and removed ones come back.

        Args:
            rows: Distinct catalogue rows ``[n]``.
            texts: ``[n, dim]``.
            vectors: One array a model.
            added: Those of them that are new to the log, with rows that follow on; see ``in_columns_of``.
        """
        stays = ~np.isin(self.rows, rows)
        frames = [frame for frame in (self.added, added) if frame is not None]
        return LiveItems(
            added=pl.concat(frames) if frames else None,
            rows=np.concatenate([self.rows[stays], rows]).astype(np.int32),
            texts=np.concatenate([self.texts[stays], texts]),
            vectors=tuple(np.concatenate([old[stays], new]) for old, new in zip(self.vectors, vectors, strict=True)),
            removed=np.setdiff1d(self.removed, rows).astype(np.int32),
        )

    def remove(self, rows: NDArray[np.integer]) -> "LiveItems":
        """Remove items; rows of ``added`` stay taken, so that no other item gets them."""
        return replace(self, removed=np.union1d(self.removed, rows).astype(np.int32))

    def restore(self, rows: NDArray[np.integer]) -> "LiveItems":
        """List removed items again."""
        return replace(self, removed=np.setdiff1d(self.removed, rows).astype(np.int32))

    def ranker(self, ranker: Ranker, dataset: ClickDataset, learned: Sequence[Floats]) -> Ranker:
        """A ranker with these items.

        Args:
            ranker: The model as it was trained.
            dataset: The log, without the added items.
            learned: Item vectors of each trained model.
        """
        n_added = 0 if self.added is None else self.added.height
        n_rows, parts = max(dataset.n_rows + n_added, ranker.shape[0]), iter(zip(self.vectors, learned, strict=True))

        def extend(model: Ranker) -> ExtendedRanker:
            vectors, known = next(parts)
            return ExtendedRanker(model, known, self.rows, vectors, n_rows=n_rows, log_rows=dataset.n_rows)

        return extended(ranker, extend, self.rows, self.texts)


def neighbour_vectors(
    ranker: Ranker,
    dataset: ClickDataset,
    catalogue: Floats,
    texts: Floats,
    config: ColdItemsConfig,
    learned: Sequence[Floats],
    own: Rows | None = None,
) -> tuple[list[Floats], NDArray[np.bool_]]:
    """Vectors of items for each model in a ranker, from their text neighbours.

    Args:
        ranker: The model, an ensemble or a score fusion.
        dataset: The log.
        catalogue: Text vectors by catalogue row.
        texts: Text vectors of the items, ``[n, dim]``.
        config: The settings.
        learned: Item vectors of each model of ``models_of(ranker)``.
        own: Their catalogue rows ``[n]``, where they have some: those of trained items keep a share of the learned
            vector; see ``shrunk``.

    Returns:
        ``[n, d]`` a model, and True on items with a neighbour, ``[n]``.

    Raises:
        InputError: No item is trained and has text.
    """
    vectors, has = [], np.ones(len(texts), np.bool_)
    for model, known in zip(models_of(ranker), learned, strict=True):
        warm = warm_rows(model, dataset, config)
        neighbours = text_neighbours(texts, catalogue[: len(warm)], warm, config, own)
        by_text = neighbours.vectors(known, warm)
        if own is not None:
            at = np.flatnonzero((own < len(warm)) & warm[np.minimum(own, len(warm) - 1)])
            near = at[neighbours.has[at]]
            n_events = dataset.vocabulary.counts[own[near]]
            moved = shrunk(known[own[near]], by_text[near], n_events, config.shrinkage)
            by_text[at] = known[own[at]]
            by_text[near] = moved
        vectors.append(by_text)
        has &= neighbours.has
    return vectors, has


def cold_rows(ranker: Ranker, dataset: ClickDataset, config: ColdItemsConfig) -> Rows:
    """Rows of the catalogue's items that a ranker was not trained on, or with too few training events."""
    events = _trained_events(ranker, dataset)
    return np.flatnonzero(events[ranker.first_item :] < config.least_events).astype(np.int32) + ranker.first_item


def shrunk_rows(ranker: Ranker, dataset: ClickDataset, config: ColdItemsConfig) -> Rows:
    """Rows of the items that a ranker was trained on and whose vectors move towards their neighbours'."""
    if not config.shrinkage:
        return np.empty(0, np.int32)
    events = _trained_events(ranker, dataset)
    return np.flatnonzero(events[ranker.first_item :] >= config.least_events).astype(np.int32) + ranker.first_item


def _trained_events(ranker: Ranker, dataset: ClickDataset) -> NDArray[np.int64]:
    """Training events of each catalogue row that every model in a ranker was trained on, 0 on others."""
    n = min(trained_rows(model) for model in models_of(ranker))
    counts = np.zeros(dataset.n_rows, np.int64)
    counts[: dataset.vocabulary.size] = dataset.vocabulary.counts
    counts[n:] = 0
    return counts
