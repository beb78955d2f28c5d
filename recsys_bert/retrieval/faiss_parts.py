"""From a factory string to a FAISS index that is ready to train, and the knobs of what is inside it."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.retrieval.faiss_guard import check_factory, one_warning
from recsys_bert.retrieval.index_config import IndexConfig

_TRAIN_ROWS_PER_CENTROID = 256  # where FAISS's own k-means stops using more
_NSG_ITEMS = 101  # FAISS's NNDescent evaluates its graph on 100


def make(config: IndexConfig, dim: int) -> Any:
    """Build the empty index.

    LSH hashes directions, so it has one meaning only: cosine.

    Args:
        config: Factory string, metric and knobs.
        dim: Width of a vector.

    Raises:
        InputError: FAISS does not know the factory string, or it does not fit ``dim`` or the metric, or a setting
            is given that this index type does not have.
    """
    check_factory(config.factory)
    hashes = "LSH" in config.factory
    if hashes and config.metric != "cosine":
        raise InputError(
            f"factory {config.factory!r} compares directions only and cannot search by {config.metric!r}. Use metric "
            "'cosine' (the same order where vectors have unit length) or another factory."
        )
    by_distance = config.metric == "l2" or hashes  # FAISS makes LSH under that name only
    try:
        index = faiss.index_factory(dim, config.factory, faiss.METRIC_L2 if by_distance else faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise InputError(
            f"FAISS cannot build {config.factory!r} for {dim} dimensions: {_reason(error)}. Known forms: Flat, HNSW32, "
            "IVF256,Flat, IVF256,PQ16, IVF256,PQ16,RFlat, PQ16, SQ8, LSH256r. A PQ number divides the dimensions; "
            "an LSH of more bits than dimensions ends in r."
        ) from error
    _refuse_unused(index, config)
    for part in nested(index):
        if hasattr(part, "do_polysemous_training"):
            part.do_polysemous_training = False  # seconds of annealing for a filter that is never used here
    set_knobs(index, config)
    return index


def _reason(error: RuntimeError) -> str:
    return str(error).rsplit("Error: ", 1)[-1].strip().rstrip(".")


def nested(index: Any) -> Iterator[Any]:
    """Yield an index and the ones inside it, each as its own FAISS class."""
    index = faiss.downcast_index(index)
    yield index
    if isinstance(index, faiss.IndexPreTransform):
        yield from nested(index.index)
    elif isinstance(index, faiss.IndexRefine):
        yield from nested(index.base_index)


def _refuse_unused(index: Any, config: IndexConfig) -> None:
    kinds = {"nprobe": faiss.IndexIVF, "ef_search": faiss.IndexHNSW, "ef_construction": faiss.IndexHNSW}
    kinds["refine_factor"] = faiss.IndexRefine
    for name, kind in kinds.items():
        if getattr(config, name) is not None and not any(isinstance(part, kind) for part in nested(index)):
            raise InputError(
                f"{name} = {getattr(config, name)} means nothing to index {config.factory!r}; leave it out."
            )
    if config.seed and index.is_trained:
        raise InputError(
            f"seed = {config.seed} draws the vectors that an index is trained on, and {config.factory!r} is not "
            "trained; leave it out."
        )


def set_knobs(index: Any, config: IndexConfig) -> None:
    """Set search effort to the configured values or this project's defaults."""
    for part in nested(index):
        if isinstance(part, faiss.IndexIVF):
            part.nprobe = min(config.nprobe or math.ceil(2 * math.sqrt(part.nlist)), part.nlist)
        elif isinstance(part, faiss.IndexHNSW):
            part.hnsw.efSearch = config.ef_search or 128
            part.hnsw.efConstruction = config.ef_construction or 40
        elif isinstance(part, faiss.IndexRefine):
            part.k_factor = config.refine_factor or 8


def _centroids(index: Any) -> int:
    """Most centroids that any part of an index learns; no fewer vectors can train it."""
    most = 1
    for part in nested(index):
        if isinstance(part, faiss.IndexIVF):
            most = max(most, part.nlist)
        if hasattr(part, "pq"):
            most = max(most, part.pq.ksub)
    return most


def check(config: IndexConfig, dim: int, n: int) -> None:
    """Check that an index over ``n`` vectors ``[dim]`` can be made and trained.

    Raises:
        InputError: It cannot.
    """
    _check_enough(make(config, dim), config, n)


def _check_enough(index: Any, config: IndexConfig, n: int) -> int:
    """Return the centroids to learn from ``n`` vectors, which are no fewer, and enough for a graph."""
    if n < _NSG_ITEMS and any(isinstance(part, faiss.IndexNSG) for part in nested(index)):
        raise InputError(
            f"index {config.factory!r} needs {_NSG_ITEMS} items but there are only {n}. Use HNSW32 or Flat."
        )
    need = _centroids(index)
    if n < need:
        raise InputError(
            f"index {config.factory!r} learns {need} centroids but there are only {n} items. Use fewer "
            "lists (IVF16,…), fewer bits (PQ8x4) or an index without training, as Flat or HNSW32."
        )
    return need


def train(index: Any, vectors: np.ndarray, config: IndexConfig) -> None:
    """Train on a random sample of ``vectors`` ``[n, dim]``; does nothing where there is nothing to learn.

    Raises:
        InputError: Fewer vectors than centroids.
    """
    need = _check_enough(index, config, len(vectors))
    if index.is_trained:
        return
    size = min(len(vectors), max(need * _TRAIN_ROWS_PER_CENTROID, 65_536))
    sample = vectors
    if size < len(vectors):
        sample = vectors[np.sort(np.random.default_rng(config.seed).choice(len(vectors), size, replace=False))]
    try:
        with one_warning(config.factory, len(sample)):
            index.train(np.ascontiguousarray(sample))
    except RuntimeError as error:
        raise InputError(
            f"index {config.factory!r} cannot be trained on {len(sample)} items: {_reason(error)}."
        ) from error


def add(index: Any, vectors: np.ndarray, config: IndexConfig) -> None:
    """Add vectors ``[n, dim]``.

    Raises:
        InputError: FAISS cannot add to this index.
    """
    if index.ntotal and any(isinstance(part, faiss.IndexNSG) for part in nested(index)):
        raise InputError(f"index {config.factory!r} is built once and takes no more items. Make it again with all.")
    try:
        index.add(vectors)
    except RuntimeError as error:
        raise InputError(f"{len(vectors)} items cannot be added to {config.factory!r}: {_reason(error)}.") from error


@contextlib.contextmanager
def effort(index: Any, factor: int) -> Iterator[bool]:
    """Look at ``factor`` times as many IVF lists for a while; yields True where no list is left out."""
    parts = [part for part in nested(index) if isinstance(part, faiss.IndexIVF)]
    before = [part.nprobe for part in parts]
    try:
        for part in parts:
            part.nprobe = min(part.nprobe * factor, part.nlist)
        yield all(part.nprobe == part.nlist for part in parts)
    finally:
        for part, nprobe in zip(parts, before, strict=True):
            part.nprobe = nprobe


def flat_storage(index: Any) -> Any:
    """Storage of an HNSW graph, for exhaustive search, behind the same transforms; any other index as it is."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.downcast_index(index.storage)
    graph = [isinstance(part, faiss.IndexHNSW) for part in nested(index)]
    if isinstance(index, faiss.IndexRefine) and any(graph):
        return faiss.downcast_index(index.refine_index)
    if not (isinstance(index, faiss.IndexPreTransform) and any(graph)):
        return index
    chain: Any = index.chain  # its stubs take it for a list
    behind = faiss.IndexPreTransform(flat_storage(index.index))
    for number in reversed(range(chain.size())):
        behind.prepend_transform(chain.at(number))
    return behind


def scores_of(index: Any, distances: np.ndarray) -> np.ndarray:
    """Turn what LSH gives into cosines: differing bits, or squared distances once refined. Others are scores already.

    Two directions at angle a differ in a / pi of their bits.
    """
    parts = list(nested(index))
    hashes = [part for part in parts if isinstance(part, faiss.IndexLSH)]
    if not hashes:
        return distances
    if any(isinstance(part, faiss.IndexRefine) for part in parts):
        return 1 - distances / 2  # unit vectors
    return np.cos(np.pi * distances / hashes[0].nbits).astype(np.float32)


def serialised_bytes(index: Any) -> int:
    """Size of an index when written, which is what it needs in memory, counted without a copy of it."""
    total = 0

    def count(block: bytes) -> None:
        nonlocal total
        total += len(block)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))  # type: ignore[attr-defined]  # made at import
    return total
