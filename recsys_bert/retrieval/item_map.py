"""Item vectors in the plane, and nearest items.

t-SNE (https://www.jmlr.org/papers/v9/vandermaaten08a.html), UMAP (https://arxiv.org/abs/1802.03426) or PCA.
"""

from typing import Literal, get_args

import faiss
import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.retrieval.index import ItemIndex

Method = Literal["tsne", "umap", "pca"]
_FLAT = 20_000  # items up to which neighbours are exact
_PLACED_BY = 3
_NEIGHBOURS = {"tsne": 30.0, "umap": 15.0}  # the usual ones
_SAMPLE = 5_000


def item_positions(
    vectors: NDArray[np.float32],
    method: Method = "tsne",
    *,
    sample: int = _SAMPLE,
    perplexity: float | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.float32], int]:
    """Place items so that those of near directions are near.

    Args:
        vectors: float32 ``[n, dim]``; their lengths do not count.
        method: ``tsne`` or ``umap`` (extra ``umap``), or ``pca``, which is quick and keeps large distances rather than
            neighbours.
        sample: Layout of so many items; the others are put at the mean place of their nearest ones among them. Not for
            ``pca``.
        perplexity: Neighbours that count, about: t-SNE's perplexity, UMAP's ``n_neighbors``, rounded, 2 at least.
            None: 30, UMAP 15, or a third of the items where they are few. Not for ``pca``.
        seed: Of the sample and the layout.

    Returns:
        Positions in the unit square ``[n, 2]``, and the number of items that were laid out themselves.

    Raises:
        InputError: Fewer than 5 items, another method or one that is not installed, a setting of a layout beside
            ``pca``, or a perplexity that does not fit.
    """
    if method not in get_args(Method):
        raise unknown_name("method of a map", method, get_args(Method))
    of_layout = {"sample": sample != _SAMPLE, "perplexity": perplexity is not None, "seed": seed != 0}
    if method == "pca" and any(of_layout.values()):
        name = next(name for name, is_set in of_layout.items() if is_set)
        raise InputError(f"{name} is for tsne and umap and has no effect on pca; leave it out.")
    if len(vectors) < 5:
        raise InputError(f"{len(vectors)} items are too few for a map; 5 are needed.")
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if method == "pca":
        return _unit_square(_pca(directions)), len(vectors)
    random = np.random.default_rng(seed)
    rows = np.arange(len(vectors))
    if len(vectors) > sample:
        rows = np.sort(random.choice(len(vectors), sample, replace=False))
    perplexity = min(_NEIGHBOURS[method], (len(rows) - 1) / 3) if perplexity is None else perplexity
    if not 1 <= perplexity < len(rows):
        raise InputError(f"perplexity is {perplexity}; it must be at least 1 and below the {len(rows)} items laid out.")
    placed = (_tsne if method == "tsne" else _umap)(directions[rows], perplexity, seed)
    if len(rows) == len(vectors):
        return _unit_square(placed), len(rows)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(directions[rows]))
    _, nearest = index.search(np.ascontiguousarray(directions), _PLACED_BY)
    positions = placed[nearest].mean(1)
    spread = 0.004 * np.ptp(placed, axis=0)
    positions += random.normal(size=positions.shape) * spread  # or equal neighbours would hide each other
    positions[rows] = placed
    return _unit_square(positions), len(rows)


def nearest_items(vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Positions ``[n, k]`` of each item's nearest others by cosine, -1 where there are no more, and the cosines.

    Exact up to 20,000 items, by an HNSW graph above.
    """
    rows, k = np.arange(len(vectors)), min(k, len(vectors) - 1)
    index = ItemIndex.build(vectors, rows, "Flat" if len(rows) <= _FLAT else "HNSW32", "cosine")
    nearest, cosines = index.search(vectors, k, seen=(rows, rows))
    return nearest, np.where(nearest >= 0, cosines, 0).astype(np.float32)


def _tsne(directions: NDArray[np.float32], perplexity: float, seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    start = _pca(directions)
    start = start / max(float(np.std(start[:, 0])), 1e-12) * 1e-4  # as scikit-learn scales its own
    layout = TSNE(2, perplexity=perplexity, init=start.astype(np.float32), random_state=seed, n_jobs=1)
    return np.asarray(layout.fit_transform(directions), np.float64)


def _umap(directions: NDArray[np.float32], neighbours: float, seed: int) -> NDArray[np.float64]:
    try:
        from umap import UMAP
    except ModuleNotFoundError as error:
        if error.name not in ("umap", "numba", "pynndescent", "llvmlite"):
            raise
        raise InputError(f"{error.name} is missing: pip install 'recsys-bert[umap]', or take tsne.") from error
    start = _pca(directions)
    start = start / max(float(np.abs(start).max()), 1e-12) * 10  # as umap-learn scales its own
    layout = UMAP(n_neighbors=max(2, round(neighbours)), init=start.astype(np.float32), random_state=seed, n_jobs=1)
    return np.asarray(layout.fit_transform(directions), np.float64)


def _pca(directions: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = directions.astype(np.float64) - directions.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    main = axes[:, ::-1][:, :2]
    main = main * np.where(main[np.abs(main).argmax(0), range(main.shape[1])] < 0, -1, 1)  # one sign on every machine
    if main.shape[1] < 2:
        return np.stack([centred @ main[:, 0], np.zeros(len(centred))], axis=1)
    return np.asarray(centred @ main, np.float64)


def _unit_square(positions: NDArray[np.floating]) -> NDArray[np.float32]:
    low, high = positions.min(0), positions.max(0)
    side = max(float((high - low).max()), 1e-12)
    return ((positions - (low + high) / 2) / side + 0.5).astype(np.float32)
