"""Searching an index among some of its items: FAISS's selectors where the index type has them."""

import math
from typing import TYPE_CHECKING, Any

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from recsys_bert.retrieval.faiss_parts import nested

if TYPE_CHECKING:
    from recsys_bert.retrieval.exact import Allowed

faiss: Any = faiss_module  # its stubs know neither keyword arguments nor selectors

LEAST_SHARE = 0.1
"""Share of an index's items below which what is left is searched exhaustively: graphs lose recall there."""


class IndexFilter:
    """Items of an index that may be listed.

    Args:
        rows: Item row of each position of the index; -1 where what lies there was removed.
        allowed: Rows that may be listed; None allows all.
    """

    def __init__(self, rows: NDArray[np.integer], allowed: "Allowed | None") -> None:
        self.mask = None if allowed is None else np.append(allowed, False)[np.minimum(rows, len(allowed))]  # -1: False
        if allowed is None and rows.min(initial=0) < 0:
            self.mask = rows >= 0
        self.n_left = len(rows) if self.mask is None else int(self.mask.sum())
        self.share = self.n_left / max(len(rows), 1)

    @property
    def is_narrow(self) -> bool:
        """True iff so few items are left that all of them are to be looked at."""
        return self.mask is not None and self.share < LEAST_SHARE

    def allows(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """True on positions that may be listed; -1 counts as one."""
        return np.ones(positions.shape, np.bool_) if self.mask is None else (positions < 0) | self.mask[positions]

    def most(self, index: Any) -> int:
        """Items that a search can return at most: where FAISS does not select, what is not allowed comes, too."""
        return self.n_left if self.mask is None or _selects(index) else len(self.mask)

    def fetched(self, n: NDArray[np.int64], index: Any) -> NDArray[np.int64]:
        """Items to fetch so that about ``n`` allowed ones are among them."""
        selects = self.mask is None or _selects(index)
        return np.minimum(n if selects else np.ceil(n / self.share).astype(np.int64), self.most(index))

    def parameters(self, index: Any) -> Any:
        """Search parameters with a selector; None where nothing is filtered or the index type has no selectors."""
        if self.mask is None or not _selects(index):
            return None
        return _parameters(index, faiss.IDSelectorBitmap(np.packbits(self.mask, bitorder="little")), self.share)


def _selects(index: Any) -> bool:
    """True iff FAISS can search an index of this type among some of its items."""
    *_, last = nested(index)
    if isinstance(last, faiss.IndexHNSW):
        return _selects(last.storage)  # which is searched where the graph is not to be trusted
    return isinstance(last, faiss.IndexIVF | faiss.IndexFlat | faiss.IndexScalarQuantizer | faiss.IndexRaBitQ)


def _parameters(index: Any, selector: Any, share: float) -> Any:
    """Parameters that select, at the search effort that the index is set to, each as its own FAISS class."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=_parameters(index.index, selector, share))
    if isinstance(index, faiss.IndexRefine):
        inner = _parameters(index.base_index, selector, share)
        return faiss.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
    if isinstance(index, faiss.IndexHNSW):
        # the walk goes over items that are not listed, too: it has to be longer by as much as they are more
        return faiss.SearchParametersHNSW(sel=selector, efSearch=math.ceil(index.hnsw.efSearch / share))
    return faiss.SearchParameters(sel=selector)
