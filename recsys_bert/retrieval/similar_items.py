"""Items nearest to given items, by a ranker's vectors or in an index."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.parts import Options
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import Allowed, exact_top_k
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.list_frames import list_frame
from recsys_bert.retrieval.lister import list_length, rows_with_vectors
from recsys_bert.retrieval.post_processed import NONE, post_processed
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.score_fusion import without_gains


def similar_items(
    ranker: Ranker,
    dataset: ClickDataset,
    items: Sequence[Any],
    k: int,
    *,
    index: ItemIndex | None,
    similarity: Literal["cosine", "ip"] | None,
    allowed: Allowed | None,
    has_vector: Allowed,
    post_processing: str = NONE,
    post_processing_options: Options | None = None,
) -> pl.DataFrame:
    """Nearest items of each, without itself; see ``Recommender.similar``.

    Raises:
        InputError: Items that are not in the catalogue or have no vector, a similarity or post-processing beside an
            index, or an index of more than the model's vectors.
    """
    if post_processing != NONE and index is not None:
        raise InputError(f"post_processing is {post_processing!r}, but an index holds the vectors as they are.")
    if similarity is not None and index is not None:
        raise InputError(f"similarity is {similarity!r}, but an index is searched by its own metric.")
    rows, first = rows_with_vectors(ranker, dataset, items, has_vector), ranker.first_item
    vectors = without_gains(ranker).item_vectors()
    if index is not None and index.dim != vectors.shape[1]:
        raise InputError(f"the index of {ranker.name} holds more than the model's vectors; leave it out.")
    k = list_length(k, ranker, index, allowed)
    keys, seen = pl.Series("similar_to", dataset.ids(rows)), (np.arange(len(rows)), rows)
    if index is not None:
        return list_frame(dataset, index.search(vectors[rows], k, seen, allowed), keys)
    vectors = post_processed(vectors, has_vector, post_processing, post_processing_options)
    if similarity != "ip":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    lists = exact_top_k(vectors[rows], vectors, k, first_item=first, seen=seen, allowed=allowed)
    return list_frame(dataset, lists, keys)
