"""Users whose vectors are near those of given users."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.encoder.parts import Options
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import exact_top_k
from recsys_bert.retrieval.post_processed import NONE, post_processed


def similar_users(
    vectors: NDArray[np.float32],
    ids: pl.Series,
    rows: NDArray[np.int64],
    k: int,
    post_processing: str = NONE,
    post_processing_options: Options | None = None,
) -> pl.DataFrame:
    """Nearest users by cosine, exactly, without the user itself.

    Args:
        vectors: ``[users, d]``.
        ids: Their ids.
        rows: Index of each user who is asked about.
        k: Users for each; all of a smaller log.
        post_processing: Map of the vectors, fitted on all of them; see ``post_processed``.
        post_processing_options: Of that map.

    Returns:
        ``similar_to``, ``rank``, ``user_id``, ``score``.

    Raises:
        InputError: ``k`` is under 1, or there is no second user.
    """
    n = min(k, len(ids) - 1)
    if n < 1:
        raise InputError(f"k is {k} and {len(ids)} users have vectors; 1 and 2 are needed at least.")
    every = np.ones(len(vectors), bool)
    vectors = post_processed(vectors, every, post_processing, post_processing_options)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    nearest, scores = exact_top_k(unit[rows], unit, n, seen=(np.arange(len(rows)), rows.astype(np.int32)))
    return pl.DataFrame(
        {
            "similar_to": ids.gather(np.repeat(rows, n)),
            "rank": np.tile(np.arange(1, n + 1, dtype=np.int32), len(rows)),
            "user_id": ids.gather(nearest.ravel()),
            "score": scores.ravel(),
        }
    )
