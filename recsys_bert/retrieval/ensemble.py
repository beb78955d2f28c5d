"""Several trained runs as one: runs that differ in nothing but their seed err on different items."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.training.config import Precision

if TYPE_CHECKING:
    from recsys_bert.retrieval.ranker import Ranker


class Ensemble:
    """A ranker whose scores are the mean of others': one inner product of all their vectors, side by side.

    So whatever searches vectors, a FAISS index too, searches an ensemble. Of models trained by a softmax it is the
    logarithm of the geometric mean of their probabilities, up to a constant of each user's; scores of other losses, or
    of another scale, count by their size.

    Args:
        rankers: Two or more, of one catalogue.
        name: Shown in tables.

    Raises:
        InputError: Their items start at different rows.
    """

    def __init__(self, rankers: "Sequence[Ranker]", name: str = "ensemble") -> None:
        self.rankers, self.name, self.first_row = list(rankers), name, rankers[0].first_row
        if {ranker.first_row for ranker in rankers} != {self.first_row}:
            raise InputError("the runs were trained on different catalogues; train them on one prepared log.")

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
        """Whether any of them reads when events happened."""
        return any(ranker.reads_times for ranker in self.rankers)

    def item_vectors(self) -> NDArray[np.float32]:
        """``[rows, d]``, the width of all of them together.

        Raises:
            InputError: Some rank items that others do not.
        """
        vectors = [ranker.item_vectors() for ranker in self.rankers]
        if len({len(one) for one in vectors}) > 1:
            said = ", ".join(f"{ranker.name} {len(one):,}" for ranker, one in zip(self.rankers, vectors, strict=True))
            raise InputError(f"the runs rank different numbers of items ({said} rows); fuse runs of one kind.")
        return np.concatenate(vectors, axis=1)

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``."""
        joined = np.concatenate([ranker.user_vectors(queries) for ranker in self.rankers], axis=1)
        joined /= len(self.rankers)
        return joined

    def recommend(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking."""
        from recsys_bert.retrieval.ranker import recommend

        return recommend(self, queries, k, exclude_seen)
