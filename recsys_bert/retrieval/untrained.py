"""Rankers without anything trained, for score fusion to add to: popularity, and nearest texts."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.item_texts.item_vectors import ItemVectors
from recsys_bert.retrieval.ranker import InnerProducts
from recsys_bert.retrieval.text_histories import history_texts
from recsys_bert.training.config import Precision


class PopularityRanker(InnerProducts):
    """Popularity as inner products: every user's vector is ``[weight]``, an item's ``[log(1 + its event weight)]``.

    It ranks all catalogue rows; cold items have 0, so that what is added to it can find them.

    Args:
        dataset: The log.
        weight: Factor on the logarithm, above 0.
        name: In tables.
    """

    reads_times, item_length = False, None

    def __init__(self, dataset: ClickDataset, weight: float = 1.0, name: str = "popularity") -> None:
        if not 0 < weight < np.inf:
            raise InputError(f"the weight of popularity is {weight}; it must be above 0.")
        vocabulary = dataset.vocabulary
        self.name, self.weight, self.first_item = name, weight, vocabulary.first_item
        self.precision: Precision = "fp32"
        self._gains = np.zeros((dataset.n_rows, 1), np.float32)
        self._gains[: vocabulary.size, 0] = np.log1p(vocabulary.weights)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        return len(self._gains), 1

    def item_vectors(self) -> NDArray[np.float32]:
        """``[n_rows, 1]``."""
        return self._gains

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, 1]``."""
        return np.full((len(queries), 1), self.weight, np.float32)


class TextRanker(InnerProducts):
    """Nearest texts: an item's score is the cosine of its text with that of the history, all catalogue rows alike.

    Args:
        vectors: Text vectors of the catalogue.
        first_item: First row that is an item.
        last: Last items of a history that count.
        decay: One that is n events old counts decay ** n.
        name: In tables.
    """

    reads_times, item_length = False, None

    def __init__(
        self, vectors: ItemVectors, first_item: int, *, last: int = 5, decay: float = 0.8, name: str = "texts"
    ) -> None:
        self.vectors, self.first_item, self.last, self.decay, self.name = vectors, first_item, last, decay, name
        self.precision: Precision = "fp32"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        return len(self.vectors.rows), self.vectors.dim

    def item_vectors(self) -> NDArray[np.float32]:
        """``[n_rows, dim]``."""
        return self.vectors.rows

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, dim]``."""
        return history_texts(self.vectors, queries, self.last, self.decay)
