"""Nearest-item search by FAISS, any index type by its factory string; items are put in and removed at once."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.retrieval import faiss_parts
from recsys_bert.retrieval.index_config import IndexConfig, Metric
from recsys_bert.retrieval.index_files import IndexParts, load_index, save_index
from recsys_bert.retrieval.side_list import SideList, merged
from recsys_bert.retrieval.stored_vectors import StoredVectors

if TYPE_CHECKING:
    from recsys_bert.retrieval.exact import Allowed

_MANY_CHANGES = 1000  # and a tenth of the index: from then on it is better built again


class ItemIndex:
    """Item vectors, searchable by inner product, squared distance or cosine.

    Make one with :meth:`build` or :meth:`load`. Approximate index types find *most* of the nearest items; how many,
    ``pipelines/benchmarks/faiss_indexes.py`` measures.

    Few FAISS types take single items in or out: a graph has no removal, codes are learned from other vectors. So
    ``put`` keeps new vectors in a list beside FAISS, which every search goes through exactly, and ``remove`` masks
    items out; both hold from the next search on, in every type. Where they become many (``is_worn``), :meth:`rebuilt`
    makes the index anew.

    HNSW by inner product: FAISS links items by inner product too, which starves items with short vectors of links.
    Harmless with unit-length vectors; where lengths differ use HNSW32 rather than HNSW16 (recall@100 .92 against .74,
    50,000 vectors, log-normal lengths with sigma .3; the usual extra dimension that makes all lengths equal gave .41).
    """

    def __init__(self, parts: IndexParts) -> None:
        self.config, self.source = parts.config, dict(parts.source)
        self._index, self.removed_rows = parts.index, parts.removed
        self._hold(StoredVectors(parts.index, parts.stored, self.config.metric), parts.put)

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
        nothing, empty = np.empty(0, np.int32), faiss_parts.make(config, vectors.shape[1])
        item_index = cls(IndexParts(empty, nothing, SideList.empty(empty.d), nothing, config, source or {}))
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
        """Bytes of the serialised FAISS index and of the vectors that were put beside it."""
        return faiss_parts.serialised_bytes(self._index) + self._put.vectors.nbytes

    @property
    def n_put(self) -> int:
        """Vectors in the list beside FAISS."""
        return len(self._put)

    @property
    def is_worn(self) -> bool:
        """True iff so many items were put and removed that it is better built again: 1,000 and a tenth of them."""
        return len(self._put) + int((self._stored.rows < 0).sum()) >= max(_MANY_CHANGES, len(self._stored.rows) // 10)

    def add(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        """Add items; what the index learned from its first vectors stays as it is.

        Args:
            vectors: float ``[n, dim]``.
            rows: Their item rows ``[n]``, none of them in the index yet.

        Raises:
            InputError: Wrong shape, numbers that are not finite, negative or repeated rows.
        """
        vectors, rows = self._checked(vectors, rows)
        if len(twice := np.intersect1d(self.rows, rows)):
            raise InputError(f"{len(twice)} item rows are already in the index, the first is {twice[0]}.")
        faiss_parts.add(self._index, vectors, self.config)
        self.removed_rows = np.setdiff1d(self.removed_rows, rows)
        stored = np.concatenate([self._stored.rows, rows])
        self._hold(StoredVectors(self._index, stored, self.config.metric), self._put)

    def put(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        """Put items in, at once and whatever the index type; an item that is in the index gets the new vector.

        Args:
            vectors: float ``[n, dim]``.
            rows: Their item rows ``[n]``, distinct.

        Raises:
            InputError: Wrong shape, numbers that are not finite, negative or repeated rows; nothing is put then.
        """
        vectors, rows = self._checked(vectors, rows)
        self.removed_rows = np.setdiff1d(self.removed_rows, rows)
        self._hold(self._stored.without(rows), self._put.put(rows, vectors))

    def remove(self, rows: np.ndarray) -> int:
        """Remove items; no search returns them from now on.

        Args:
            rows: Item rows; those that are not in the index are fine.

        Returns:
            Items that were in the index.
        """
        rows = np.intersect1d(self.rows, np.asarray(rows))
        self.removed_rows = np.union1d(self.removed_rows, rows).astype(np.int32)
        self._hold(self._stored.without(rows), self._put.without(rows))
        return len(rows)

    def still_allowed(self, allowed: "Allowed | None", n_rows: int) -> "Allowed | None":
        """Rows that may be listed, without those that were removed; for what ranks beside the index.

        Args:
            allowed: ``[rows]``; None allows all.
            n_rows: Length of the result where ``allowed`` is None.
        """
        if not len(self.removed_rows):
            return allowed
        left = np.ones(n_rows, np.bool_) if allowed is None else allowed.copy()
        left[self.removed_rows[self.removed_rows < len(left)]] = False
        return left

    def rebuilt(self, vectors: np.ndarray) -> "ItemIndex":
        """The index built anew, with what was put and without what was removed; what it learns is learned again.

        Args:
            vectors: float ``[rows, dim]`` by item row, as of ``item_vectors()``: of the items that were not put.

        Raises:
            InputError: Items of the index have no vector there; or see ``build``.
        """
        stored = self._stored.rows[self._stored.rows >= 0]
        if len(stored) and stored.max() >= len(vectors):
            raise InputError(f"the index holds item row {stored.max()}, but there are vectors of {len(vectors)} rows.")
        rows = np.concatenate([stored, self._put.rows])
        every = np.concatenate([np.asarray(vectors, np.float32)[stored], self._put.vectors])
        order = np.argsort(rows, kind="stable")
        index = ItemIndex.build(every[order], rows[order], **asdict(self.config), source=self.source)
        index.removed_rows = self.removed_rows
        return index

    def _hold(self, stored: StoredVectors, put: SideList) -> None:
        self._stored, self._put = stored, put
        self.rows = np.concatenate([stored.rows[stored.rows >= 0], put.rows])

    def _checked(self, vectors: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors as FAISS wants them, and distinct rows as int32.

        Raises:
            InputError: Wrong shape, numbers that are not finite, negative or repeated rows.
        """
        vectors, rows = self._ready(_matrix(vectors, "item")), np.asarray(rows)
        if rows.shape != (len(vectors),) or rows.dtype.kind not in "iu":
            raise InputError(f"rows are {rows.dtype} {list(rows.shape)}; they must be {len(vectors)} whole numbers.")
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < 2**31:
            raise InputError(f"item rows go from {rows.min()} to {rows.max()}; allowed are 0 to {2**31 - 1}.")
        every, counts = np.unique(rows, return_counts=True)
        if (counts > 1).any():
            twice = every[counts > 1]
            raise InputError(f"{len(twice)} item rows are repeated, the first is {twice[0]}.")
        return vectors, rows.astype(np.int32)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        seen: tuple[np.ndarray, np.ndarray] | None = None,
        allowed: "Allowed | None" = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of each query, best first, among those that are allowed and that it has not seen.

        A query gets k items wherever the index holds k for it. Equal scores come in FAISS's order, then those that were
        put beside it.

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
        stored = self._stored.search(queries, k, seen, allowed)
        if not len(self._put):
            return stored
        beside = self._put.search(queries, k, self.config.metric, seen, allowed)
        return merged(stored, beside, k, self.config.metric)

    def _ready(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors as FAISS wants them; for cosine at unit length (a vector of zeros stays one)."""
        if vectors.shape[1] != self.dim:
            raise InputError(f"vectors have {vectors.shape[1]} numbers; this index has {self.dim}.")
        if self.config.metric == "cosine":
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths > 0, lengths, 1)
        return np.ascontiguousarray(vectors, np.float32)

    def save(self, folder: Path, beside: Callable[[Path], None] | None = None) -> None:
        """Write the index to ``folder``, whole or not at all.

        Args:
            folder: An index there is replaced.
            beside: Writes more into the folder, before it is sealed.

        Raises:
            InputError: The folder cannot be written.
        """
        parts = IndexParts(self._index, self._stored.rows, self._put, self.removed_rows, self.config, self.source)
        save_index(Path(folder), parts, beside)

    @classmethod
    def load(cls, folder: Path) -> "ItemIndex":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: The folder is missing, is not one of ours, comes from another version or is damaged.
        """
        return cls(load_index(Path(folder)))


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
