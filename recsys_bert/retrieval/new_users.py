"""Lists for users of a log without events before a split, from what is known before it."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.queries import Queries
from recsys_bert.retrieval.exact import exact_top_k
from recsys_bert.retrieval.list_frames import popular_lists
from recsys_bert.retrieval.profiles import profile_vectors
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.score_fusion import recent_gains


def rank_new_users(
    ranker: Ranker, dataset: ClickDataset, users: NDArray[np.int64], k: int, split: Literal["validation", "test"]
) -> tuple[NDArray[np.int32], dict[str, int]]:
    """Rank the catalogue by the users' features, and by popularity where they have none.

    Args:
        ranker: The model.
        dataset: The log.
        users: User rows, ``[n]``.
        k: Length of the lists.
        split: Events from it on are not known.

    Returns:
        Rows ``[n, k]``, and the number of users by source.
    """
    lists = np.full((len(users), k), -1, np.int32)
    codes = {name: np.asarray(table)[users] for name, table in dataset.user_features.items()}
    has_features = np.zeros(len(users), bool)
    for table in codes.values():
        has_features |= (table >= FIRST_VALUE).any(axis=1)
    if has_features.any():
        known = {name: table[has_features] for name, table in codes.items()}
        vectors = profile_vectors(ranker, dataset, known, _histories(dataset, split))
        items, depth = ranker.item_vectors(), min(k, ranker.shape[0] - ranker.first_item)
        lists[has_features, :depth] = exact_top_k(vectors, items, depth, first_item=ranker.first_item)[0]
    if not has_features.all():
        lists[~has_features] = popular_lists(dataset, 1, k, None, recent_gains(ranker))[0]
    n_features = int(has_features.sum())
    return lists, {"features": n_features, "popularity": len(users) - n_features}


def _histories(dataset: ClickDataset, split: Literal["validation", "test"]) -> Queries:
    """Events before the split, of the users who have any."""
    data = dataset.histories
    first, stop = data.offsets[:-1], data.train_end if split == "validation" else data.validation_end
    users = np.flatnonzero(stop > first)
    start, stop = first[users], stop[users]
    return Queries(data, users, start, stop, stop, data.times[stop - 1] + 1, timed=dataset.has_times)
