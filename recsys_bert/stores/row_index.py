"""Nearest rows by FAISS: a cache of vectors by row number, which only grows; removed rows are masked out.

Flat while small, an HNSW graph above ``FLAT_ROWS``. Where a filter leaves little, the search is exact: a graph searched
under a selector loses most of the nearest (recall .56 where 5 % are left).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from recsys_bert.checksums import check_intact
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.stores.backend import Vectors

FLAT_ROWS = 20_000
"""Rows up to which all are compared; a graph is no faster there."""

EXACT_SHARE = 0.1
"""Share of rows left by a filter below which the search is exact."""

_EXACT_K = 500  # a graph search for so many costs as much as comparing all
_EF, _MOST_EF = 512, 4096  # candidates that a graph search keeps, more where a filter leaves fewer of them
_VERSION = 1

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class RowIndex:
    """Vectors by row number, ascending, searched by inner product.

    Args:
        dim: Width of a vector.
        index: FAISS index, empty where None.
        rows: Row number of each vector, ascending.
        removed_seq: Last removal that is masked out.
    """

    def __init__(self, dim: int, index: Any = None, rows: Rows | None = None, removed_seq: int = 0) -> None:
        self.dim, self.removed_seq = dim, removed_seq
        self._index: Any = faiss.IndexFlatIP(dim) if index is None else index
        self.rows = np.empty(0, np.int64) if rows is None else rows
        self.alive = np.ones(len(self.rows), np.bool_)

    @property
    def last_row(self) -> int:
        """Highest row number; 0 where there is none."""
        return int(self.rows[-1]) if len(self.rows) else 0

    @property
    def n_alive(self) -> int:
        """Vectors that are not removed."""
        return int(self.alive.sum())

    def add(self, rows: Rows, vectors: Vectors) -> None:
        """Add vectors with higher row numbers than all before."""
        if isinstance(self._index, faiss.IndexFlatIP) and len(self.rows) + len(rows) > FLAT_ROWS:
            graph = faiss.IndexHNSWFlat(self.dim, 32, faiss.METRIC_INNER_PRODUCT)
            graph.hnsw.efConstruction = 40
            if len(self.rows):
                graph.add(self._index.reconstruct_n(0, len(self.rows)))
            self._index = graph
        self._index.add(vectors)
        self.rows = np.concatenate([self.rows, rows])
        self.alive = np.concatenate([self.alive, np.ones(len(rows), np.bool_)])

    def mask(self, rows: Rows) -> Mask:
        """Positions of rows, bool ``[len(self.rows)]``; rows that are not here are left out."""
        mask = np.zeros(len(self.rows), np.bool_)
        if len(self.rows):
            at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            mask[at[self.rows[at] == rows]] = True
        return mask

    def remove(self, rows: Rows) -> None:
        """Mask rows out for good."""
        self.alive &= ~self.mask(rows)

    def search(self, vectors: Vectors, k: int, allowed: Mask | None = None) -> list[tuple[Rows, Vectors]]:
        """Find the rows with the largest inner products.

        Args:
            vectors: float32 ``[n, dim]``.
            k: Rows for each; fewer only where fewer are left.
            allowed: Positions that may be returned; None allows all.

        Returns:
            Row numbers and scores for each vector, best first.
        """
        mask = self.alive if allowed is None else self.alive & allowed
        n_left = int(mask.sum())
        k = min(k, n_left)
        if not k:
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in vectors]
        selector = _selector(mask) if n_left < len(mask) else None
        if self._is_exact(n_left, k):
            scores, positions = self._exact(vectors, k, selector)
        else:
            effort = int(min(_MOST_EF, max(_EF, 2 * k) * len(mask) / n_left))
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=effort)  # type: ignore[attr-defined]  # made at import
            scores, positions = self._index.search(vectors, k, params=parameters)
            short = np.flatnonzero((positions < 0).any(1))  # the walk met too few of those that are left
            if len(short):
                scores[short], positions[short] = self._exact(vectors[short], k, selector)
        return [(self.rows[one], score) for one, score in zip(positions, scores, strict=True)]

    def _is_exact(self, n_left: int, k: int) -> bool:
        few = n_left <= max(FLAT_ROWS, EXACT_SHARE * len(self.rows))
        return few or k > _EXACT_K or isinstance(self._index, faiss.IndexFlatIP)

    def _exact(self, vectors: Vectors, k: int, selector: Any) -> tuple[Vectors, Rows]:
        graph = isinstance(self._index, faiss.IndexHNSW)
        flat = faiss.downcast_index(self._index.storage) if graph else self._index
        parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # made at import
        scores, positions = flat.search(vectors, k, params=parameters)
        return scores, positions

    def save(self, folder: Path) -> None:
        """Write the cache, whole or not at all."""
        with replacing(folder, sealed=True) as temporary:
            temporary.mkdir()
            faiss.write_index(self._index, str(temporary / "vectors.faiss"))
            np.save(temporary / "rows.npy", self.rows)
            np.save(temporary / "alive.npy", self.alive)
            about = {"version": _VERSION, "dim": self.dim, "removed_seq": self.removed_seq}
            write_json(temporary / "cache.json", about)

    @classmethod
    def load(cls, folder: Path, dim: int) -> "RowIndex | None":
        """Read what ``save`` wrote; None where there is none, or it is damaged or of another version: it is a cache."""
        try:
            about = read_json(folder / "cache.json")
            if about["version"] != _VERSION or about["dim"] != dim:
                return None
            check_intact(folder, "it is made again")
            rows = np.load(folder / "rows.npy", allow_pickle=False)
            loaded = cls(dim, faiss.read_index(str(folder / "vectors.faiss")), rows, about["removed_seq"])
            loaded.alive = np.load(folder / "alive.npy", allow_pickle=False)
        except (InputError, OSError, RuntimeError, KeyError, TypeError, ValueError):
            return None
        fits = loaded._index.ntotal == len(rows) == len(loaded.alive) and loaded._index.d == dim
        return loaded if fits else None


def _selector(mask: Mask) -> Any:
    """FAISS selector of the positions where a mask is True."""
    make: Callable[..., Any] = faiss.IDSelectorBitmap
    bits = np.packbits(mask, bitorder="little")
    selector = make(bits)
    selector.bits = bits  # FAISS keeps a pointer only
    return selector
