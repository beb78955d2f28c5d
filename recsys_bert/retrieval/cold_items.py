"""Item vectors by text neighbours: an item without clicks is placed where items with similar words were learned to be.

A cold item gets the mean of the learned vectors of its nearest trained items by text, at the usual length of those: an
id model's untrained row, or a mean that is shorter than single vectors, would sink it in any sum of scores. Without
text, or without a word that any trained item has, it gets the mean of all trained vectors as it is: the score of the
average item, which hardly any list holds. Related: warm-up of cold embeddings from content neighbours (Zhu et al. 2021,
https://arxiv.org/abs/2105.04790).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.retrieval.cold_config import ColdItemsConfig
from recsys_bert.retrieval.exact import exact_top_k
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker

Floats = NDArray[np.float32]
_ROWS = 4096  # looked at until one has text


@dataclass(frozen=True)
class TextNeighbours:
    """Nearest trained items of some texts.

    Args:
        rows: Catalogue rows ``[n, neighbours]``, -1 where there are fewer.
        weights: ``[n, neighbours]``, adding up to 1; 0 all over where a text has no neighbour.
        length: Of the vectors, against the usual one.
    """

    rows: NDArray[np.int32]
    weights: Floats
    length: float = 1.0

    @property
    def has(self) -> NDArray[np.bool_]:
        """True on texts with a neighbour, ``[n]``."""
        return np.asarray((self.rows >= 0).any(axis=1))

    def vectors(self, learned: Floats, warm: NDArray[np.bool_]) -> Floats:
        """Vectors ``[n, d]`` from learned ones.

        Args:
            learned: ``[rows, d]`` by catalogue row.
            warm: ``[rows]``, True on trained items.
        """
        trained = learned[warm]
        length = self.length * float(np.median(np.linalg.norm(trained, axis=1)))
        means = np.einsum("nk,nkd->nd", self.weights, learned[np.maximum(self.rows, 0)])
        means *= length / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        means[~self.has] = trained.mean(axis=0)
        return means.astype(np.float32)


def shrunk(own: Floats, by_text: Floats, n_events: NDArray[np.integer], shrinkage: float) -> Floats:
    """Learned vectors moved towards those of the neighbours, the more the fewer events they come from, ``[n, d]``.

    Empirical Bayes with the neighbours as the prior: ``n / (n + shrinkage)`` of the learned vector and the rest of the
    other, at the length of the learned one.

    Args:
        own: Learned vectors ``[n, d]``.
        by_text: Vectors by text neighbours ``[n, d]``.
        n_events: Training events ``[n]``.
        shrinkage: Events that weigh as much as the neighbours, above 0.
    """
    share = (n_events / (n_events + shrinkage))[:, None]
    mixed = share * own + (1 - share) * by_text
    length = np.linalg.norm(own, axis=1, keepdims=True)
    return (mixed * (length / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12))).astype(np.float32)


def text_neighbours(
    texts: Floats,
    catalogue: Floats,
    warm: NDArray[np.bool_],
    config: ColdItemsConfig,
    own: NDArray[np.integer] | None = None,
) -> TextNeighbours:
    """Nearest trained items by the cosine of text vectors; only those with a similarity above 0 count.

    Args:
        texts: Of the cold items, ``[n, dim]``, unit length or zeros.
        catalogue: By catalogue row, ``[rows, dim]``, likewise.
        warm: ``[rows]``, True on trained items.
        config: Number of neighbours, and their weights.
        own: Catalogue row of each of them, ``[n]``, which is no neighbour of itself; None: they are in no catalogue.

    Raises:
        InputError: No trained item has a text vector.
    """
    start, stop = int(np.argmax(warm)), len(warm) - int(np.argmax(warm[::-1]))
    among = None if warm[start:stop].all() else warm[start:stop]  # rows are by training events: mostly one range
    k = min(config.neighbours, int(warm.sum()))
    if not any(catalogue[part : part + _ROWS].any() for part in range(start, stop, _ROWS)):
        raise InputError("no item with training events has a text vector, so no cold item has a neighbour.")
    itself = None if own is None else (np.arange(len(own)), own.astype(np.int32) - start)
    rows, similarity = exact_top_k(texts, catalogue[start:stop], k, seen=itself, allowed=among)
    rows = np.where(rows >= 0, rows + start, -1)
    rows = np.where(similarity > 1e-6, rows, -1)
    weights = np.where(rows >= 0, similarity if config.weighting == "similarity" else 1.0, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights = (weights / np.where(total > 0, total, 1)).astype(np.float32)
    return TextNeighbours(rows.astype(np.int32), weights, config.length)


def trained_rows(ranker: Ranker) -> int:
    """Rows with a trained embedding: those of the vocabulary that a model was trained on."""
    if isinstance(ranker, TwoTowerRanker):  # ranks further rows by their features
        return int(ranker.model.encoder.embeddings.token.num_embeddings)
    return ranker.shape[0]


def warm_rows(ranker: Ranker, dataset: ClickDataset, config: ColdItemsConfig) -> NDArray[np.bool_]:
    """Items that a model was trained on, with enough training events: ``[rows]`` of its item vectors.

    Raises:
        InputError: There are none.
    """
    n = min(trained_rows(ranker), dataset.vocabulary.size)
    warm = np.zeros(ranker.shape[0], np.bool_)
    warm[:n] = dataset.vocabulary.counts[:n] >= config.least_events
    warm[: ranker.first_item] = False
    if not warm.any():
        raise InputError(f"no item that {ranker.name} was trained on has {config.least_events} training events.")
    return warm
