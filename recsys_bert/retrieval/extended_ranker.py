"""Rankers with vectors for items that they were not trained on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.retrieval.ensemble import Ensemble
from recsys_bert.retrieval.ranker import AroundRanker, InnerProducts, Ranker
from recsys_bert.retrieval.score_fusion import ScoreFusion

Floats = NDArray[np.float32]


class ExtendedRanker(InnerProducts, AroundRanker):
    """Ranker with further item vectors, and others in place of its own.

    Args:
        ranker: A model whose score is the inner product.
        known: Its own item vectors, by row.
        rows: Item rows ``[m]``; from ``len(known)`` on they are new.
        vectors: ``[m, d]``.
        n_rows: Length of ``item_vectors()``; rows that neither has are the mean of its own, the average item.
        log_rows: Catalogue rows of the log; what lies beyond is read in histories as unknown.
    """

    def __init__(
        self,
        ranker: Ranker,
        known: Floats,
        rows: NDArray[np.integer],
        vectors: Floats,
        *,
        n_rows: int,
        log_rows: int,
    ) -> None:
        self.ranker, self.known, self.rows, self.vectors = ranker, known, rows, vectors
        self.n_rows, self.log_rows = n_rows, log_rows
        self.name, self.first_item = ranker.name, ranker.first_item

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        return self.n_rows, self.ranker.shape[1]

    @property
    def item_length(self) -> float | None:
        """Length of the model's vectors, where the further ones have it as well."""
        length = self.ranker.item_length
        same = length is not None and np.allclose(np.linalg.norm(self.vectors, axis=1), length, rtol=1e-4)
        return length if same else None

    def item_vectors(self) -> Floats:
        """``[n_rows, d]``."""
        rest = np.repeat(
            self.known[self.first_item :].mean(axis=0, keepdims=True), self.n_rows - len(self.known), axis=0
        )
        vectors = np.concatenate([self.known, rest])
        vectors[self.rows] = self.vectors
        return vectors

    def user_vectors(self, queries: Queries) -> Floats:
        """User vectors of the model."""
        items = np.asarray(queries.histories.items)
        if items.max(initial=0) >= self.log_rows:
            items = np.where(items < self.log_rows, items, UNKNOWN).astype(items.dtype)
            queries = replace(queries, histories=replace(queries.histories, items=items))
        return self.ranker.user_vectors(queries)


def models_of(ranker: Ranker) -> list[Ranker]:
    """Trained models that a ranker is made of, in order: those of an ensemble and inside a score fusion."""
    if isinstance(ranker, ScoreFusion):
        return models_of(ranker.ranker)
    if isinstance(ranker, Ensemble):
        return [model for part in ranker.rankers for model in models_of(part)]
    return [ranker.ranker if isinstance(ranker, ExtendedRanker) else ranker]


def extended(ranker: Ranker, extend: Callable[[Ranker], Ranker], rows: NDArray[np.integer], texts: Floats) -> Ranker:
    """The same ranker with every trained model in it replaced.

    Args:
        ranker: A model, an ensemble or a score fusion.
        extend: From a trained model to one with further item vectors; called in the order of ``models_of``.
        rows: Rows of the further items ``[m]``.
        texts: Their text vectors ``[m, dim]``, for a fusion that adds text.
    """
    if isinstance(ranker, ScoreFusion):
        return ranker.around(extended(ranker.ranker, extend, rows, texts), rows, texts)
    if isinstance(ranker, Ensemble):
        return Ensemble([extended(part, extend, rows, texts) for part in ranker.rankers], ranker.name)
    return extend(ranker.ranker if isinstance(ranker, ExtendedRanker) else ranker)
