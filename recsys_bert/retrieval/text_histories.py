"""Text of a history: the decayed mean of its last items' text vectors, whose inner product with an item's is a gain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.item_texts.item_vectors import ItemVectors

_QUERIES = 1024


@dataclass(frozen=True, kw_only=True)
class TextGains:
    """Weighting of text in a score fusion: an item gains ``weight · ⟨user text, item text⟩``."""

    last: int
    """Last items of a history that count."""
    decay: float
    """One that is n events old counts decay ** n, in (0, 1]."""
    weight: float
    """Factor on the inner products, which lie in [-1, 1]."""

    def __post_init__(self) -> None:
        if self.last < 1 or not 0 < self.decay <= 1 or not 0 < self.weight < np.inf:
            raise InputError(
                f"text: last is {self.last}, decay {self.decay}, weight {self.weight}; needed are 1 at least, (0, 1] "
                "and a number above 0."
            )

    def users(self, vectors: ItemVectors, queries: Queries) -> NDArray[np.float32]:
        """Text side of user vectors, ``[n, dim]``; zeros where no item of the history has text."""
        return np.float32(self.weight) * history_texts(vectors, queries, self.last, self.decay)


def history_texts(vectors: ItemVectors, queries: Queries, last: int, decay: float) -> NDArray[np.float32]:
    """Decayed means of the text vectors of histories' last items, ``[n, dim]``, of unit length.

    Args:
        vectors: Text vectors of the catalogue.
        queries: The histories.
        last: Items that count, those without text among them.
        decay: An item that is n events old counts ``decay ** n``.
    """
    texts = np.zeros((len(queries), vectors.dim), np.float32)
    for start in range(0, len(queries), _QUERIES):
        items, lengths = queries[slice(start, start + _QUERIES)].inputs(last)
        age = lengths[:, None] - 1 - np.arange(items.shape[1])
        known = (age >= 0) & (items < len(vectors.rows))
        weights = np.where(known, decay ** np.maximum(age, 0), 0).astype(np.float32)
        summed = np.einsum("ni,nid->nd", weights, vectors.rows[np.where(known, items, 0)])
        length = np.linalg.norm(summed, axis=1, keepdims=True)
        texts[start : start + _QUERIES] = summed / np.where(length > 0, length, 1)
    return texts


def item_side(vectors: ItemVectors, n_rows: int) -> NDArray[np.float32]:
    """Text vectors of the first ``n_rows`` rows, ``[n_rows, dim]``; a model may know fewer items, or more."""
    rows = vectors.rows[:n_rows]
    return np.pad(rows, ((0, n_rows - len(rows)), (0, 0)))
