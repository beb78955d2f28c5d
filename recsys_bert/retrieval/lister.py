"""From queries to lists: filters, diversity, and users without a history."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.diversity import caps, diverse_lists
from recsys_bert.retrieval.exact import Allowed, exact_top_k
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.index_filter import IndexFilter
from recsys_bert.retrieval.list_frames import list_frame, popular_lists
from recsys_bert.retrieval.profiles import profile_codes, profile_vectors
from recsys_bert.retrieval.ranker import Lists, Ranker, search
from recsys_bert.retrieval.score_fusion import recent_gains, without_gains


@dataclass(frozen=True)
class ListSettings:
    """Settings of lists; see ``Recommender.recommend``."""

    k: int = 10
    """Items for each."""
    exclude_seen: bool = True
    """Leave out items of the history."""
    allowed: Allowed | None = None
    """``[n_rows]``: rows that may be listed; None allows all."""
    diversity: float = 0.0
    """Weight of the redundancy in maximal marginal relevance, in [0, 1)."""
    max_per: dict[str, int] = field(default_factory=dict)
    """Most items of one value, by side column."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        if not 0 <= self.diversity < 1:
            raise InputError(f"diversity is {self.diversity}; it must lie in [0, 1).")


class Lister:
    """Makes lists of one kind.

    Args:
        ranker: The model.
        dataset: The log.
        index: Index to search; None ranks exactly.
        settings: Of the lists.

    Raises:
        InputError: Nothing may be listed, or ``max_per`` names no side column.
    """

    def __init__(self, ranker: Ranker, dataset: ClickDataset, index: ItemIndex | None, settings: ListSettings) -> None:
        self.ranker, self.dataset, self.index, self.settings = ranker, dataset, index, settings
        self.limits = caps(dataset, settings.max_per)
        self.k = list_length(settings.k, ranker, index, settings.allowed)

    def by_history(self, queries: Queries) -> Lists:
        """Lists ``[n, k]`` by the users' histories."""
        if not len(queries):
            return np.zeros((0, self.k), np.int32), np.zeros((0, self.k), np.float32)
        seen, allowed = queries.seen() if self.settings.exclude_seen else None, self.settings.allowed
        return self._diverse(lambda size: search(self.ranker, queries, size, seen, self.index, allowed))

    def without_history(self, users: pl.Series, profiles: Any = None) -> list[pl.DataFrame]:
        """Lists of users without events: by their features where ``profiles`` has them, else the popular ones."""
        frames, has_features = [], np.zeros(len(users), np.bool_)
        if profiles is not None:
            codes, has_features = profile_codes(self.dataset, profiles, users)
        print(
            f"{len(users):,} users have no events: {int(has_features.sum()):,} by features, "
            f"{int((~has_features).sum()):,} popular items.",
            file=sys.stderr,
        )
        if has_features.any():
            known = {name: part[has_features] for name, part in codes.items()}
            vectors = profile_vectors(self.ranker, self.dataset, known)
            lists = self._diverse(lambda size: self._by_vectors(vectors, size))
            frames.append(list_frame(self.dataset, lists, users.filter(pl.Series(has_features)), "features"))
        popular = users.filter(pl.Series(~has_features))
        if len(popular):
            recent, allowed = recent_gains(self.ranker), self.settings.allowed
            one = self._diverse(lambda size: popular_lists(self.dataset, 1, size, allowed, recent))
            lists = (np.repeat(one[0], len(popular), axis=0), np.repeat(one[1], len(popular), axis=0))
            frames.append(list_frame(self.dataset, lists, popular, "popular"))
        return frames

    def _by_vectors(self, users: Any, size: int) -> Lists:
        """The best by inner product, exactly."""
        items = self.ranker.item_vectors()
        return exact_top_k(users, items, size, first_item=self.ranker.first_item, allowed=self.settings.allowed)

    def _diverse(self, search_lists: Any) -> Lists:
        if not self.settings.diversity and not self.limits:
            lists: Lists = search_lists(self.k)
            return lists
        n_items = items_left(self.ranker, self.index, self.settings.allowed)
        items = without_gains(self.ranker).item_vectors()
        return diverse_lists(search_lists, items, self.k, n_items, self.settings.diversity, self.limits)


def items_left(ranker: Ranker, index: ItemIndex | None, allowed: Allowed | None) -> int:
    """Items that may be listed and that the ranker, or the index, has.

    Raises:
        InputError: There are none.
    """
    rows = np.arange(ranker.first_item, ranker.shape[0]) if index is None else index.rows
    n_left = IndexFilter(rows, allowed).n_left
    if not n_left:
        raise InputError(f"only and without leave none of the {len(rows):,} items that {ranker.name} has vectors of.")
    return n_left


def list_length(k: int, ranker: Ranker, index: ItemIndex | None, allowed: Allowed | None) -> int:
    """``k``, or the number of items that may be listed where that is smaller, with a note.

    Raises:
        InputError: ``k`` is under 1, or nothing may be listed.
    """
    if k < 1:
        raise InputError(f"k is {k}; it must be at least 1.")
    n_left = items_left(ranker, index, allowed)
    if k > n_left:
        source = "the catalogue has" if allowed is None else "only and without leave"
        print(f"k is {k}; {source} {n_left} items, so lists have {n_left}.", file=sys.stderr)
    return min(k, n_left)


def rows_with_vectors(
    ranker: Ranker, dataset: ClickDataset, items: Sequence[Any], has_vector: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Rows of items.

    Args:
        ranker: The model.
        dataset: The log.
        items: Item ids.
        has_vector: ``[n_rows]``, True on rows that the ranker knows something of.

    Raises:
        InputError: There are none, or some are not in the catalogue or have no vector.
    """
    ids = list(items)
    if not ids:
        raise InputError("no item is given; give item ids.")
    rows = dataset.rows(ids)
    missing = [item for item, row in zip(ids, rows, strict=True) if row < dataset.vocabulary.first_item]
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(ids):,} items are not in {dataset.folder}: "
            f"{', '.join(map(repr, missing[:5]))}{' …' if len(missing) > 5 else ''}"
        )
    if (cold := ~has_vector[rows]).any():
        names = dataset.ids(rows[cold]).to_list()
        raise InputError(
            f"items without training events have no vector in {ranker.name}: {names}. Use two "
            "towers with item features, or --cold-items nearest-text."
        )
    return rows
