"""Text vectors of a log's items: fit, encode, save, load."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError
from recsys_bert.item_texts import TEXT_VECTORS
from recsys_bert.item_texts.config import ItemVectorsConfig
from recsys_bert.item_texts.reduction import Reduction, fit_reduction, unit_length
from recsys_bert.item_texts.texts import as_texts, has_texts, text_digests, texts_of

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """Text vectors of all catalogue rows.

    Args:
        rows: ``[n_rows, dim]`` by catalogue row, of unit length; zeros where there is none.
        item_ids: Id of each row from ``first_item`` on.
        digests: Hash of the text that each row's vector is of, ``[n_rows]``.
        way: Fitted way from texts to vectors, one of ``TEXT_VECTORS``.
        reduction: Map to ``dim``; None where the way's vectors stay as wide as they are.
        config: The settings.
        counts: Items with a vector, and those without by reason.
        data: Fingerprint of the log.
    """

    rows: Floats
    item_ids: pl.Series
    digests: NDArray[np.uint64]
    way: Any
    reduction: Reduction | None
    config: ItemVectorsConfig
    counts: dict[str, int] = field(default_factory=dict)
    data: str = ""

    @property
    def has(self) -> NDArray[np.bool_]:
        """True on rows with a vector, ``[n_rows]``."""
        return np.asarray(self.rows.any(axis=1))

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.rows.shape[1])

    @property
    def first_item(self) -> int:
        """First row that is an item."""
        return len(self.rows) - len(self.item_ids)

    @property
    def can_encode(self) -> bool:
        """True iff new texts can have vectors: not of ready vectors, nor of an encoder that is not at hand."""
        return bool(self.way.can_encode)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors of new texts by the fitted map, ``[n, dim]``; zeros where a text says nothing that is known.

        Raises:
            InputError: Ready vectors, or an encoder that is not at hand.
        """
        cleaned = as_texts(texts)
        if not cleaned or (self.can_encode and not any(cleaned)):
            return np.zeros((len(cleaned), self.dim), np.float32)
        vectors = self.way.encode(cleaned)
        return unit_length(vectors) if self.reduction is None else self.reduction.project(vectors)

    def encode_log(self, dataset: ClickDataset) -> Floats:
        """Vectors of another log's items by the fitted map, ``[n_rows, dim]`` by catalogue row; zeros without text.

        Raises:
            InputError: As ``encode``; or it was prepared without words.
        """
        texts = texts_of(dataset)
        rows = np.zeros((dataset.n_rows, self.dim), np.float32)
        at = np.flatnonzero([bool(text) for text in texts])
        rows[at] = self.encode([texts[row] for row in at])
        return rows

    def with_rows(self, rows: NDArray[np.integer], vectors: Floats, n_rows: int) -> "ItemVectors":
        """The vectors of a longer catalogue, with others in some rows.

        Args:
            rows: Catalogue rows ``[m]``.
            vectors: ``[m, dim]``.
            n_rows: Rows of the catalogue; those beyond its own have no ids here.
        """
        if n_rows <= len(self.rows) and np.array_equal(self.rows[rows], vectors):
            return self
        n_more = max(0, n_rows - len(self.rows))
        longer = np.pad(self.rows, ((0, n_more), (0, 0)))
        longer[rows] = vectors
        ids = pl.concat([self.item_ids, pl.Series(self.item_ids.name, [None] * n_more, self.item_ids.dtype)])
        return replace(self, rows=longer, item_ids=ids, digests=np.pad(self.digests, (0, n_more)))

    def __repr__(self) -> str:
        counts = "; ".join(f"{name.replace('_', ' ')}: {n:,}" for name, n in self.counts.items() if n)
        return f"ItemVectors(by {self.config.by}, dim {self.dim}; {counts})"


def fit_item_vectors(
    dataset: ClickDataset, config: ItemVectorsConfig, source: Any = None, others: Sequence[ClickDataset] = ()
) -> ItemVectors:
    """Make the vectors of all items.

    Args:
        dataset: The log; prepared with words of its items, except for ready vectors.
        config: The settings.
        source: What the way reads beside the texts; see ``TEXT_VECTORS``.
        others: Further logs whose texts the map is fitted on, too; see ``ItemVectors.encode_log``.

    Raises:
        InputError: A log has no words, the settings do not fit the way, or the source cannot be used.
    """
    way = build("text vectors", config.by, TEXT_VECTORS, source, options=config.options)
    item_ids, first = dataset.items["item_id"], dataset.vocabulary.first_item
    if way.reads_ids and others:
        raise InputError(
            f"vectors by {config.by} have no map of texts that could be fitted on other logs; leave them out."
        )
    if way.reads_ids:
        texts = texts_of(dataset) if has_texts(dataset) else [""] * dataset.n_rows
        vectors, counts = way.of_items(item_ids)
        at = np.arange(first, dataset.n_rows)
    else:
        texts = texts_of(dataset)
        at = np.flatnonzero([bool(text) for text in texts])
        filled = [texts[row] for row in at]
        more = [text for other in others for text in texts_of(other) if text]
        encoded, counts = way.fit(filled + more).encode(filled + more), {"items_without_text": len(item_ids) - len(at)}
        counts |= {"items_of_other_logs": len(more)} if others else {}
        vectors = encoded[: len(filled)]
    reduction = _reduction(vectors if way.reads_ids else encoded, config, way)
    projected = unit_length(vectors) if reduction is None else reduction.project(vectors)
    rows = np.zeros((dataset.n_rows, projected.shape[1]), np.float32)
    rows[at] = projected
    n_vectors = int(projected.any(axis=1).sum())
    without = "items_without_ready_vector" if way.reads_ids else "items_whose_text_has_no_known_word"
    counts = {"items_with_vector": n_vectors, **counts, without: len(at) - n_vectors}
    if not n_vectors:
        raise InputError(f"no item has a vector by {config.by}: {counts}.")
    return ItemVectors(rows, item_ids, text_digests(texts), way, reduction, config, counts, dataset.fingerprint)


def _reduction(vectors: Any, config: ItemVectorsConfig, way: Any) -> Reduction | None:
    """Fit the reduction that the settings, or the way's defaults, say.

    Raises:
        InputError: A sketch of dense vectors, or a width that has no effect.
    """
    is_sparse = sparse.issparse(vectors)
    if config.reduction == "sketch" and not is_sparse:
        raise InputError(f"reduction is 'sketch', but vectors by {config.by} are dense. Use svd.")
    sketch = is_sparse and config.reduction != "svd"
    if sketch and config.whiten:
        raise InputError(f"whiten is {config.whiten}, but a sketch has no directions to whiten. Set reduction to svd.")
    dim, whiten = config.dim or way.dim, way.whiten if config.whiten is None else config.whiten
    if dim is None:
        if not whiten and config.reduction == "auto":
            return None
        dim = vectors.shape[1]
    return fit_reduction(vectors, dim, sketch=sketch, whiten=whiten, seed=config.seed)
