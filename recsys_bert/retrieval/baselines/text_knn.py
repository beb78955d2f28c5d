"""Nearest texts: items whose words are those of the history's last items, by TF-IDF."""

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.item_texts.config import ItemVectorsConfig
from recsys_bert.item_texts.item_vectors import fit_item_vectors
from recsys_bert.retrieval.baselines.counts import Rows, by_popularity
from recsys_bert.retrieval.baselines.lists import fill
from recsys_bert.retrieval.exact import exact_top_k
from recsys_bert.retrieval.text_histories import history_texts


class TextKNN:
    """Cosine of an item's TF-IDF with the decayed mean of the last items'. Unlike others it finds cold items.

    Args:
        last: Last items of the history that count.
        decay: One that is n events old counts decay ** n.
        dim: Width of the sketched TF-IDF vectors.
    """

    name = "text_knn"
    needs_texts = True

    def __init__(self, *, last: int = 5, decay: float = 0.8, dim: int = 1024) -> None:
        if last < 1 or not 0 < decay <= 1:
            raise InputError(f"text_knn: last is {last}, decay {decay}; needed are at least 1 and (0, 1].")
        self.last, self.decay, self.dim = last, decay, dim

    def fit(self, dataset: ClickDataset) -> "TextKNN":
        """Make the vectors of all items' texts.

        Raises:
            InputError: The log has no words of items.
        """
        self._vectors = fit_item_vectors(dataset, ItemVectorsConfig(dim=self.dim))
        self._first_item, size = dataset.vocabulary.first_item, dataset.vocabulary.size
        popularity = TrainingEvents.of(dataset.histories).popularity(size)
        cold = np.arange(size, dataset.n_rows)
        self._order = np.concatenate([by_popularity(popularity, self._first_item), cold])
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, popular ones where no item has text, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        seen = queries.seen() if exclude_seen else (np.empty(0, np.int64), np.empty(0, np.int32))
        users = history_texts(self._vectors, queries, self.last, self.decay)
        ranked, _ = exact_top_k(users, self._vectors.rows, k, first_item=self._first_item, seen=seen)
        ranked[~users.any(axis=1)] = -1
        return fill(ranked, self._order, seen)
