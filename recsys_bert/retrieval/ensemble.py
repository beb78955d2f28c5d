"""Ensemble of trained models by the mean of their scores: models that differ by seed alone err on different items."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.ranker import InnerProducts, Ranker
from recsys_bert.training.config import Precision


class Ensemble(InnerProducts):
    """Ranker whose score is the mean of its members' scores: one inner product of their concatenated vectors.

    A FAISS index searches it like any other. For softmax models the mean is the logarithm of the geometric mean of
    their probabilities, up to a constant per user; scores of another scale weigh by their size.

    Args:
        rankers: Two or more, of one catalogue.
        name: In tables.

    Raises:
        InputError: They rank different catalogues.
    """

    def __init__(self, rankers: Sequence[Ranker], name: str = "ensemble") -> None:
        self.rankers, self.name, self.first_item = list(rankers), name, rankers[0].first_item
        if {ranker.first_item for ranker in rankers} != {self.first_item}:
            raise InputError("the runs were trained on different catalogues; train them on one prepared log.")
        if len({ranker.shape[0] for ranker in rankers}) > 1:
            sizes = ", ".join(f"{ranker.name} {ranker.shape[0]:,}" for ranker in rankers)
            raise InputError(f"the runs rank different numbers of items ({sizes} rows); fuse runs of one kind.")

    @property
    def precision(self) -> Precision:
        """Of the first ranker; setting it sets that of all."""
        return self.rankers[0].precision

    @precision.setter
    def precision(self, value: Precision) -> None:
        for ranker in self.rankers:
            ranker.precision = value

    @property
    def reads_times(self) -> bool:
        """True iff any of them reads timestamps."""
        return any(ranker.reads_times for ranker in self.rankers)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``: widths add up."""
        return self.rankers[0].shape[0], sum(ranker.shape[1] for ranker in self.rankers)

    @property
    def item_length(self) -> float | None:
        """Length of the concatenated vectors, where each member's have one."""
        lengths = [ranker.item_length for ranker in self.rankers]
        return None if None in lengths else math.hypot(*(length for length in lengths if length is not None))

    def item_vectors(self) -> NDArray[np.float32]:
        """``[rows, d]``, concatenated."""
        return np.concatenate([ranker.item_vectors() for ranker in self.rankers], axis=1)

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``."""
        joined = np.concatenate([ranker.user_vectors(queries) for ranker in self.rankers], axis=1)
        joined /= len(self.rankers)
        return joined
