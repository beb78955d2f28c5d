"""Lists of items by words alone: those whose text is nearest to a query's."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import Allowed, exact_top_k

if TYPE_CHECKING:
    from recsys_bert.retrieval.ranker import Lists

_LEAST = 1e-6  # of a cosine that counts as likeness


def list_by_words(cosines: NDArray[np.float32], k: int, first_item: int, allowed: Allowed | None) -> "Lists":
    """Items with the largest cosine between their text and a query's, as one list; none without a likeness.

    Args:
        cosines: By catalogue row, ``[rows]``.
        k: Length of the list; fewer where fewer items are alike.
        first_item: Rows below it are no items.
        allowed: ``[rows]``: rows that may be listed; None allows all.

    Raises:
        InputError: Nothing that may be listed is like the query.
    """
    candidates: NDArray[np.bool_] = cosines > _LEAST
    candidates[:first_item] = False
    if allowed is not None:
        candidates &= allowed
    n_left = int(candidates.sum())
    if not n_left:
        raise InputError("no item that may be listed has text that is like the query.")
    return exact_top_k(np.ones((1, 1), np.float32), cosines[:, None], min(k, n_left), allowed=candidates)
