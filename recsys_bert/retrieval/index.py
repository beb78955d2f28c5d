"""Nearest-item search by FAISS, any index type by its factory string.

Saved as a folder: ``index.faiss``, ``rows.npy`` (item row of each vector) and ``index.json`` (settings, sizes, what
it was made from, fingerprint of the other two).
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from recsys_bert.checksums import check_intact
from recsys_bert.clicks.histories import distinct
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.retrieval import faiss_parts
from recsys_bert.retrieval.index_config import IndexConfig, Metric
from recsys_bert.retrieval.index_filter import IndexFilter

if TYPE_CHECKING:
    from recsys_bert.retrieval.exact import Allowed

_KIND = "recsys_bert item index"
_VERSION = 1
_RESULTS_PER_CHUNK = 1 << 21  # bounds the arrays of one search call
_MOST_QUERIES = 2048


class ItemIndex:
    """Item vectors, searchable by inner product, squared distance or cosine.

    Make one with :meth:`build` or :meth:`load`. Approximate index types find *most* of the nearest items; how many,
    ``pipelines/benchmarks/faiss_indexes.py`` measures.

    HNSW by inner product: FAISS links items by inner product too, which starves items with short vectors of links.
    Harmless with unit-length vectors; where lengths differ use HNSW32 rather than HNSW16 (recall@100 .92 against .74,
    50,000 vectors, log-normal lengths with sigma .3; the usual extra dimension that makes all lengths equal gave .41).
    """

    def __init__(self, index: Any, rows: np.ndarray, config: IndexConfig, source: dict[str, str] | None = None) -> None:
        self._index, self.config, self.source = index, config, dict(source or {})
        self._set_rows(rows)

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        rows: np.ndarray,
        factory: str = "Flat",
        metric: Metric = "ip",
        *,
        nprobe: int | None = None,
        ef_search: int | None = None,
        ef_construction: int | None = None,
        refine_factor: int | None = None,
        seed: int = 0,
        source: dict[str, str] | None = None,
    ) -> "ItemIndex":
        """Train on a sample of the vectors, then add all of them.

        Args:
            vectors: float ``[n, dim]``.
            rows: Item row of each vector, distinct, ``[n]``.
            factory: FAISS factory string.
            metric: "ip", "l2" or "cosine".
            nprobe: This and the next ones are described at :class:`IndexConfig`.
            ef_search: HNSW only.
            ef_construction: HNSW only.
            refine_factor: Refined indexes only.
            seed: Of the training sample.
            source: Where the vectors come from (names and fingerprints), kept in ``index.json``.

        Raises:
            InputError: A setting that does not fit, too few vectors to train on, vectors that are not finite,
                repeated rows.
        """
        config = IndexConfig(
            factory=factory,
            metric=metric,
            nprobe=nprobe,
            ef_search=ef_search,
            ef_construction=ef_construction,
            refine_factor=refine_factor,
            seed=seed,
        )
        vectors = _matrix(vectors, "item")
        if not len(vectors):
            raise InputError("there are no item vectors to index.")
        item_index = cls(faiss_parts.make(config, vectors.shape[1]), np.empty(0, np.int32), config, source)
        faiss_parts.train(item_index._index, item_index._ready(vectors), config)
        item_index.add(vectors, rows)
        return item_index

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self._index.d)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def memory(self) -> int:
        """Bytes of the serialised index."""
        return faiss_parts.serialised_bytes(self._index)

    def add(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        """Add items; what the index learned from its first vectors stays as it is.

        Args:
            vectors: float ``[n, dim]``.
            rows: Their item rows ``[n]``, none of them in the index yet.

        Raises:
            InputError: Wrong shape, numbers that are not finite, negative or repeated rows.
        """
        vectors, rows = self._ready(_matrix(vectors, "item")), np.asarray(rows)
        if rows.shape != (len(vectors),) or rows.dtype.kind not in "iu":
            raise InputError(f"rows are {rows.dtype} {list(rows.shape)}; they must be {len(vectors)} whole numbers.")
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < 2**31:
            raise InputError(f"item rows go from {rows.min()} to {rows.max()}; allowed are 0 to {2**31 - 1}.")
        every, counts = np.unique(np.concatenate([self.rows, rows.astype(np.int32)]), return_counts=True)
        if (counts > 1).any():
            twice = every[counts > 1]
            raise InputError(f"{len(twice)} item rows are already in the index or repeated, the first is {twice[0]}.")
        faiss_parts.add(self._index, vectors, self.config)
        self._set_rows(np.concatenate([self.rows, rows.astype(np.int32)]))

    def search(
        self,
        queries: np.ndarray,
        k: int,
        seen: tuple[np.ndarray, np.ndarray] | None = None,
        allowed: "Allowed | None" = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of each query, best first, among those that are allowed and that it has not seen.

        More than k are fetched, others drop out, and queries left short ask again for more: a query gets k items
        wherever the index holds k for it. FAISS selects by itself where the index type can; where less than a tenth is
        allowed all of it is looked at. Equal scores come in FAISS's order.

        Args:
            queries: float ``[n, dim]``.
            k: Items wanted, at most ``len(self)``.
            seen: ``(query_index, rows)``, both ``[m]``: pairs never to return; rows not in the index are fine.
            allowed: ``[rows]``, True on item rows that may be returned; None allows all.

        Returns:
            Rows int32 ``[n, k]``, -1 where there are no more, and scores float32 ``[n, k]``: inner product or cosine
            (higher is better; of LSH without refinement, the estimate from its bits), or with ``l2`` the *squared*
            distance (lower is better). A place without an item scores -inf, or inf with ``l2``.

        Raises:
            InputError: ``k`` larger than the index or under 1, or queries of another width.
        """
        if not 1 <= k <= len(self):
            raise InputError(f"k is {k}; it must be between 1 and the {len(self)} items of the index.")
        queries = self._ready(_matrix(queries, "query"))
        subset = IndexFilter(self.rows, allowed)
        keys = self._seen_keys(seen, len(queries), subset)
        n_seen = np.bincount(keys // len(self), minlength=len(queries))
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), np.inf if self.config.metric == "l2" else -np.inf, np.float32)
        short, factor, fetch = np.flatnonzero(n_seen < subset.n_left), 1, np.zeros(1, np.int64)
        while len(short):
            fetch = subset.fetched((k + n_seen[short]) * factor, self._index)
            with faiss_parts.effort(self._index, len(self) if subset.is_narrow else factor) as no_list_left:
                for part, n in _chunks(short, fetch):
                    positions[part], scores[part] = self._best_left(queries[part], part, k, n, keys, subset)
            if no_list_left and fetch.min() >= subset.most(self._index):
                break
            short = short[(positions[short] >= 0).sum(1) < np.minimum(k, subset.n_left - n_seen[short])]
            factor *= 8
        return np.where(positions >= 0, self.rows[positions], -1).astype(np.int32), scores

    def _best_left(
        self, queries: np.ndarray, numbers: np.ndarray, k: int, fetch: int, keys: np.ndarray, subset: IndexFilter
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions ``[n, k]`` (-1: none) and scores of the best of ``fetch`` allowed items not in ``keys``."""
        exhaustive = subset.is_narrow or fetch >= subset.most(self._index)
        index = faiss_parts.flat_storage(self._index) if exhaustive else self._index
        distances, matches = index.search(queries, fetch, params=subset.parameters(index))
        scores = faiss_parts.scores_of(self._index, distances)
        out = (matches < 0) | ~subset.allows(matches)
        if len(keys):
            pairs = numbers[:, None] * len(self) + matches
            out |= keys[np.minimum(np.searchsorted(keys, pairs), len(keys) - 1)] == pairs
        order = np.argsort(out, axis=1, kind="stable")[:, :k]
        out = np.take_along_axis(out, order, 1)
        nothing = np.inf if self.config.metric == "l2" else -np.inf
        matches, scores = np.take_along_axis(matches, order, 1), np.take_along_axis(scores, order, 1)
        best, worst = np.where(out, -1, matches), np.where(out, nothing, scores)
        padding = ((0, 0), (0, k - order.shape[1]))  # fewer are left than asked for
        return np.pad(best, padding, constant_values=-1), np.pad(worst, padding, constant_values=nothing)

    def _seen_keys(self, seen: tuple[np.ndarray, np.ndarray] | None, n_queries: int, subset: IndexFilter) -> np.ndarray:
        """Seen pairs that the index could return, as sorted distinct ``query * len(self) + position``, int64."""
        if seen is None:
            return np.empty(0, np.int64)
        query_index, rows = np.asarray(seen[0], np.int64), np.asarray(seen[1], np.int64)
        if len(query_index) and not 0 <= query_index.min() <= query_index.max() < n_queries:
            raise InputError(f"seen pairs name query {query_index.max()}; there are {n_queries} queries.")
        positions = self._positions(rows)
        known = (positions >= 0) & subset.allows(positions)
        return distinct(query_index[known] * len(self) + positions[known])

    def _positions(self, rows: np.ndarray) -> np.ndarray:
        """Position in the index of each item row, -1 where it is not there."""
        at = np.minimum(np.searchsorted(self.rows, rows, sorter=self._order), len(self) - 1)
        matches = self._order[at]
        return np.where(self.rows[matches] == rows, matches, -1)

    def _set_rows(self, rows: np.ndarray) -> None:
        self.rows = rows
        self._order = np.argsort(rows, kind="stable")

    def _ready(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors as FAISS wants them; for cosine at unit length (a vector of zeros stays one)."""
        if vectors.shape[1] != self.dim:
            raise InputError(f"vectors have {vectors.shape[1]} numbers; this index has {self.dim}.")
        if self.config.metric == "cosine":
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths > 0, lengths, 1)
        return np.ascontiguousarray(vectors, np.float32)

    def save(self, folder: Path) -> None:
        """Write the index to ``folder``, whole or not at all.

        Raises:
            InputError: The folder cannot be written.
        """
        with replacing(folder, sealed=True) as temporary:
            temporary.mkdir()
            faiss.write_index(self._index, str(temporary / "index.faiss"))
            np.save(temporary / "rows.npy", self.rows)
            about = {"kind": _KIND, "version": _VERSION, "dim": self.dim, "n_rows": len(self), "source": self.source}
            about["config"] = asdict(self.config)
            write_json(temporary / "index.json", about)

    @classmethod
    def load(cls, folder: Path) -> "ItemIndex":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: The folder is missing, is not one of ours, comes from another version or is damaged.
        """
        folder = Path(folder)
        if not (folder / "index.json").is_file():
            raise InputError(f"{folder} is not an item index: it has no index.json. Make one with `recsys-bert index`.")
        about = read_json(folder / "index.json")
        if not isinstance(about, dict) or about.get("kind") != _KIND or about.get("version") != _VERSION:
            raise InputError(f"{folder}/index.json is not that of an item index, version {_VERSION}. Make it again.")
        check_intact(folder, "make the index again")
        try:
            rows = np.load(folder / "rows.npy", allow_pickle=False)
            config = IndexConfig(**about["config"])
            loaded = cls(faiss.read_index(str(folder / "index.faiss")), rows, config, about["source"])
        except (OSError, RuntimeError, KeyError, TypeError) as error:
            raise InputError(f"item index {folder} cannot be read: {error}. Make it again.") from error
        faiss_parts.set_knobs(loaded._index, config)
        return loaded


def _matrix(vectors: np.ndarray, what: str) -> np.ndarray:
    """Check and convert to float32 ``[n, dim]``."""
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(f"{what} vectors are {vectors.dtype} {list(vectors.shape)}; they must be floats [n, dim].")
    vectors = vectors.astype(np.float32, copy=False)
    if not np.isfinite(vectors).all():
        bad = int((~np.isfinite(vectors)).any(1).sum())
        raise InputError(f"{bad} of {len(vectors)} {what} vectors hold NaN or infinite numbers.")
    return vectors


def _chunks(queries: np.ndarray, fetch: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Cut queries into groups that ask for about as many items, so that one long history does not cost all.

    Args:
        queries: Query numbers ``[n]``.
        fetch: Items that each has to fetch ``[n]``.

    Yields:
        Query numbers of a group and the most that one of them fetches.
    """
    order = np.argsort(-fetch, kind="stable")
    start = 0
    while start < len(order):
        n = int(fetch[order[start]])
        stop = start + min(max(_RESULTS_PER_CHUNK // n, 1), _MOST_QUERIES)
        yield queries[order[start:stop]], n
        start = stop
