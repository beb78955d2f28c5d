"""The ranker protocol: user vectors and item vectors whose inner product is the score; exact or indexed search."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import Allowed, Seen, exact_top_k
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.index_filter import IndexFilter
from recsys_bert.training.config import Precision

Lists = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Rows ``[n, k]``, best first, -1 after the last, and their scores ``[n, k]``."""


class Ranker(Protocol):
    """A trained model that ranks the catalogue."""

    name: str
    """In tables."""
    first_item: int
    """First row that is an item."""
    precision: Precision
    """Number format of products while encoding."""
    reranks: bool
    """True iff ``rerank`` changes lists, so that scores are more than inner products."""

    @property
    def reads_times(self) -> bool:
        """True iff ``user_vectors`` reads the timestamps of events."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``, without computing them."""

    @property
    def item_length(self) -> float | None:
        """Length of every item vector; None where lengths differ, so that angles rank otherwise than products."""

    def item_vectors(self) -> NDArray[np.float32]:
        """``[rows, d]`` by item row; rows below ``first_item`` are no items."""

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``, one a query."""

    def gains(self, queries: Queries, query: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Additions to the inner products of (query, row) pairs, ``[pairs]``; None where there are none."""

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking: rows ``[n, k]``, best first, -1 where fewer are left."""

    def rerank(
        self,
        lists: Lists,
        users: NDArray[np.float32],
        queries: Queries,
        *,
        items: NDArray[np.float32] | None,
        exclude_seen: bool,
        allowed: Allowed | None = None,
    ) -> Lists:
        """Final lists from those of the vector search; identity where the score is the inner product.

        Args:
            lists: The best by inner product.
            users: ``user_vectors(queries)``.
            queries: The users' histories.
            items: ``item_vectors()`` where they are at hand; None computes them if needed.
            exclude_seen: Leave out items of the histories.
            allowed: Rows that may be listed; None allows all.
        """


class InnerProducts:
    """The part of a ranker whose score is the inner product and nothing more."""

    reranks = False

    def rank(self: Ranker, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking: rows ``[n, k]``, best first, -1 where fewer are left."""
        return full_ranking(self, queries, k, exclude_seen)

    def rerank(
        self,
        lists: Lists,
        users: NDArray[np.float32],
        queries: Queries,
        *,
        items: NDArray[np.float32] | None,
        exclude_seen: bool,
        allowed: Allowed | None = None,
    ) -> Lists:
        """Lists as they are."""
        return lists

    def gains(self, queries: Queries, query: NDArray[np.int64], row: NDArray[np.int64]) -> None:
        """No gains."""


class AroundRanker:
    """The part of a ranker that changes the vectors or the lists of another one, ``ranker``."""

    ranker: Ranker

    @property
    def precision(self) -> Precision:
        """Precision of the ranker inside."""
        return self.ranker.precision

    @precision.setter
    def precision(self, value: Precision) -> None:
        self.ranker.precision = value

    @property
    def reads_times(self) -> bool:
        """True iff the ranker inside reads timestamps."""
        return self.ranker.reads_times

    def rank(self: Ranker, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking: rows ``[n, k]``, best first, -1 where fewer are left."""
        return full_ranking(self, queries, k, exclude_seen)


def full_ranking(ranker: Ranker, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
    """Exact full ranking, ``[n, k]``."""
    return search(ranker, queries, k, queries.seen() if exclude_seen else None)[0]


def search(
    ranker: Ranker,
    queries: Queries,
    k: int,
    seen: Seen | None,
    index: ItemIndex | None = None,
    allowed: Allowed | None = None,
) -> Lists:
    """Best items of any ranker; item vectors are computed for exact search only.

    Where ``allowed`` leaves few of an index's items the search is exact: approximate indexes lose recall there.

    Args:
        ranker: The model.
        queries: The users' histories.
        k: Length of the lists.
        seen: (query, row) pairs that are left out; None leaves nothing out.
        index: Index to search; None scores all items.
        allowed: Rows that may be listed; None allows all.

    Raises:
        InputError: ``k`` is larger than the catalogue, or than what is allowed of it.
    """
    users = ranker.user_vectors(queries)
    if index is None:
        return search_vectors(ranker, users, ranker.item_vectors(), queries, k, seen, allowed)
    check_index(ranker, index)
    return search_index(ranker, index, users, queries, k, seen, allowed)


def search_index(
    ranker: Ranker,
    index: ItemIndex,
    users: NDArray[np.float32],
    queries: Queries,
    k: int,
    seen: Seen | None,
    allowed: Allowed | None = None,
) -> Lists:
    """As ``search``, by an index that fits the ranker and over user vectors that are computed already."""
    allowed = index.still_allowed(allowed, ranker.shape[0])
    if IndexFilter(index.rows, allowed).is_narrow:
        return search_vectors(ranker, users, ranker.item_vectors(), queries, k, seen, allowed)
    lists = _search_index(ranker, index, users, k, seen, allowed)
    return ranker.rerank(lists, users, queries, items=None, exclude_seen=seen is not None, allowed=allowed)


def check_index(ranker: Ranker, index: ItemIndex) -> None:
    """Refuse an index that ranks otherwise than the ranker.

    Raises:
        InputError: It searches by angle or distance, and the ranker's item vectors differ in length.
    """
    if index.config.metric != "ip" and ranker.item_length is None:
        raise InputError(
            f"the index searches by {index.config.metric}, but scores of {ranker.name} are inner products with vectors "
            "of different lengths. Make one with `recsys-bert index --metric ip`."
        )


def _search_index(
    ranker: Ranker,
    index: ItemIndex,
    users: NDArray[np.float32],
    k: int,
    seen: Seen | None,
    allowed: Allowed | None,
) -> Lists:
    """Lists of an index with inner products as scores, whatever its metric."""
    rows, scores = index.search(users, k, seen, allowed)
    lengths, item_length = np.linalg.norm(users, axis=1, keepdims=True), ranker.item_length
    if index.config.metric == "ip" or item_length is None:
        return rows, scores
    if index.config.metric == "cosine":
        return rows, (scores * (lengths * item_length)).astype(np.float32)
    return rows, ((lengths**2 + item_length**2 - scores) / 2).astype(np.float32)  # scores are squared distances


def search_vectors(
    ranker: Ranker,
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    queries: Queries,
    k: int,
    seen: Seen | None,
    allowed: Allowed | None = None,
) -> Lists:
    """As ``search``, exactly, over vectors that are computed already."""
    lists = exact_top_k(users, torch.from_numpy(items), k, first_item=ranker.first_item, seen=seen, allowed=allowed)
    return ranker.rerank(lists, users, queries, items=items, exclude_seen=seen is not None, allowed=allowed)
