"""The ranker protocol: user vectors and item vectors whose inner product is the score; exact or indexed search."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.retrieval.exact import Seen, exact_top_k
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.score_fusion import ScoreFusion
from recsys_bert.training.config import Precision


class Ranker(Protocol):
    """What every trained run can do."""

    name: str
    first_row: int
    precision: Precision

    @property
    def reads_times(self) -> bool:
        """Whether ``user_vectors`` has to be told when events happened."""

    def item_vectors(self) -> NDArray[np.float32]:
        """``[rows, d]``, by item row; those below ``first_row`` are no items."""

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``, one for each query."""

    def recommend(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Rows ``[n, k]``, best first, -1 where fewer are left."""


def recommend(ranker: Ranker, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
    """Exact full ranking."""
    return search(ranker, queries, k, queries.seen() if exclude_seen else None)[0]


def search(
    ranker: Ranker, queries: Queries, k: int, seen: Seen | None, index: "ItemIndex | None" = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best items of any ranker for some users.

    Args:
        ranker: The run.
        queries: The users' histories.
        k: Length of the lists.
        seen: Pairs that are left out; None leaves nothing out.
        index: Where to search; None scores all items.

    Returns:
        Rows int32 ``[n, k]``, -1 where a user has fewer left, and scores float32 ``[n, k]``.

    Raises:
        InputError: ``k`` is larger than the catalogue.
    """
    return search_vectors(ranker, ranker.user_vectors(queries), ranker.item_vectors(), queries, k, seen, index)


def search_vectors(
    ranker: Ranker,
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    queries: Queries,
    k: int,
    seen: Seen | None,
    index: "ItemIndex | None" = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """As ``search``, where the ranker's vectors are at hand."""
    if index is None:
        found = exact_top_k(users, torch.from_numpy(items), k, first_row=ranker.first_row, seen=seen)
    else:
        found = index.search(users, k, seen)
    if not isinstance(ranker, ScoreFusion):
        return found
    return ranker.raised(found[0], users, items, queries, exclude_seen=seen is not None)
