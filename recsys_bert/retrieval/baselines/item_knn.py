"""Item-based nearest neighbours (Sarwar et al. 2001, https://doi.org/10.1145/371920.372071)."""

import numpy as np
from scipy import sparse

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.retrieval.baselines.counts import Ints, Rows, by_popularity, only_items
from recsys_bert.retrieval.baselines.lists import rank_in_chunks, top_k

_ITEMS = 512


class ItemKNN:
    """Sum, over the items of a history, of their cosine similarity to the candidate.

    Similar is what the same users have: the cosine of two columns of the user-item matrix, whose entries are summed
    event weights. An item keeps only its nearest neighbours, itself not among them.

    Args:
        neighbours: Kept for each item.
        shrink: Added to the denominator, so that a few common users do not make two rare items similar.
    """

    name = "item_knn"

    def __init__(self, *, neighbours: int = 20, shrink: float = 0.0) -> None:
        if neighbours < 1 or shrink < 0:
            raise InputError(f"item_knn: neighbours is {neighbours}, shrink {shrink}; at least 1 and 0 are needed.")
        self.neighbours, self.shrink = neighbours, shrink

    def fit(self, dataset: ClickDataset) -> "ItemKNN":
        """Find every item's neighbours, some hundred items at a time."""
        size, first_item = dataset.vocabulary.size, dataset.vocabulary.first_item
        events = TrainingEvents.of(dataset.histories)
        self._order = by_popularity(events.popularity(size), first_item)
        matrix = only_items(events.by_user(size, dataset.histories.n_users), first_item)
        norms = np.sqrt(matrix.power(2).sum(axis=0))
        place = np.empty(size, np.int64)
        place[self._order] = np.arange(len(self._order))
        place[:first_item] = np.arange(len(self._order), size)
        items_by_user, parts = matrix.T.tocsr(), []
        with Progress("item-kNN", size, "items") as progress:
            for start in range(0, size, _ITEMS):
                common = (items_by_user[start : start + _ITEMS] @ matrix).tocoo()
                parts.append(self._nearest(common, start, norms, place))
                progress.advance(min(_ITEMS, size - start))
        self._similar = sparse.vstack(parts, format="csr")
        return self

    def _nearest(self, common: sparse.coo_array, start: int, norms: np.ndarray, place: Ints) -> sparse.csr_array:
        """Cosines of some items to their nearest neighbours, ``[items, size]``."""
        query, row = common.row.astype(np.int64), common.col.astype(np.int64)
        cosine = common.data / (norms[query + start] * norms[row] + self.shrink)
        cosines = sparse.csr_array((cosine, (query, row)), shape=common.shape)
        itself = np.arange(common.shape[0]), np.arange(start, start + common.shape[0]).astype(np.int32)
        nearest = top_k(cosines, place, itself, min(self.neighbours, common.shape[1]))
        query, rank = np.nonzero(nearest >= 0)
        row = nearest[query, rank]
        if not len(query):  # scipy takes no empty selection of a sparse array
            return sparse.csr_array(common.shape)
        return sparse.csr_array((cosines[query, row], (query, row)), shape=common.shape)

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, popular ones after those with a neighbour, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        return rank_in_chunks(queries, k, self._order, exclude_seen, self._score, self.name)

    def _score(self, part: Queries) -> sparse.csr_array:
        query, row = part.seen()
        known = row < self._similar.shape[0]  # items without training events are like nothing
        ones = np.ones(int(known.sum()))
        return sparse.csr_array((ones, (query[known], row[known])), (len(part), len(self._similar.indptr) - 1)) @ (
            self._similar
        )
