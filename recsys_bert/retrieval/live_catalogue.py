"""A model's catalogue while it is in use: items come in by their text, and go, without retraining."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.added_items import in_columns_of
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.retrieval.cold_config import ColdItemsConfig
from recsys_bert.retrieval.cold_items import Floats
from recsys_bert.retrieval.extended_ranker import models_of
from recsys_bert.retrieval.live_items import LiveItems, Rows, cold_rows, neighbour_vectors, shrunk_rows
from recsys_bert.retrieval.new_items import read_new_items
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.score_fusion import ScoreFusion, own_texts

if TYPE_CHECKING:
    from recsys_bert.item_texts.item_vectors import ItemVectors

_MAKE = (
    "Make them with `recsys-bert item-vectors --data {data} --out vectors` and pass --item-vectors vectors (from "
    "Python Recommender.load(…, item_vectors=…))."
)


class LiveCatalogue:
    """Catalogue of a model, with the items that were put in and removed.

    Args:
        ranker: The model as it was trained.
        dataset: The log that it was trained on.
        texts: Text vectors of the log's items; None: those of a fusion with text, else items can be removed, but none
            put in.
        live: Items put in and removed before.
    """

    def __init__(
        self, ranker: Ranker, dataset: ClickDataset, texts: "ItemVectors | None", live: LiveItems | None = None
    ) -> None:
        self._trained, self.log = ranker, dataset
        self.texts = _texts_of(ranker, live) if texts is None else texts
        self.live = live or LiveItems.none(ranker, 0 if self.texts is None else self.texts.dim)
        self.dataset = dataset if self.live.added is None else dataset.with_items(self.live.added)
        self.ranker = self._ranker(self.live)

    def _ranker(self, live: LiveItems) -> Ranker:
        return live.ranker(self._trained, self.log, self._learned) if len(live.rows) else self._trained

    @property
    def log_ranker(self) -> Ranker:
        """The ranker without items that the log does not have; removed ones are ranked."""
        if self.live.added is None:
            return self.ranker
        inside = self.live.rows < self.log.n_rows
        vectors = tuple(part[inside] for part in self.live.vectors)
        live = replace(
            self.live, added=None, rows=self.live.rows[inside], texts=self.live.texts[inside], vectors=vectors
        )
        return self._ranker(live)

    @cached_property
    def _learned(self) -> list[Floats]:
        """Item vectors of each trained model, computed once."""
        return [model.item_vectors() for model in models_of(self._trained)]

    def with_texts(self, texts: "ItemVectors") -> "LiveCatalogue":
        """The catalogue with text vectors.

        Raises:
            InputError: They are of another state of the log, or of another kind than those of the items that were put
                in.
        """
        if texts.data != self.log.fingerprint or len(texts.rows) != self.log.n_rows:
            raise InputError(
                f"these text vectors are of {len(texts.rows):,} rows of another catalogue than that of "
                f"{self.log.folder}, which has {self.log.n_rows:,}. Make them for it with `recsys-bert item-vectors`."
            )
        own = self._trained.texts if isinstance(self._trained, ScoreFusion) else None
        if own is not None and not np.array_equal(own[0].rows, texts.rows):
            raise InputError(
                f"{self._trained.name} is a fusion with text vectors of its own, and these are others. Leave them out, "
                "or fuse again with these."
            )
        live = self.live if len(self.live.rows) else self.live.of_width(texts.dim)
        if live.texts.shape[1] != texts.dim:
            raise InputError(
                f"these text vectors have {texts.dim} numbers, and those of the items that were put in "
                f"{live.texts.shape[1]}: they are of another kind. Use those, or put the items in again."
            )
        return LiveCatalogue(self._trained, self.log, texts, live)

    def need_texts(self) -> "ItemVectors":
        """Text vectors of the log's items.

        Raises:
            InputError: There are none.
        """
        if self.texts is None:
            raise InputError(
                f"{self._trained.name} was opened without text vectors of items. " + _MAKE.format(data=self.log.folder)
            )
        return self.texts

    def cosines(self, text: str) -> Floats:
        """Cosine between a text and that of each catalogue row, ``[n_rows]``; 0 on items without text.

        Raises:
            InputError: It is empty, none of its words is known, or there are no text vectors.
        """
        if not text.strip():
            raise InputError("the query is empty; give some words.")
        texts = self.need_texts()
        vector = texts.encode([text])[0]
        if not vector.any():
            raise InputError(f"no word of {text!r} is in the texts of the items, so nothing is like it.")
        cosines = np.zeros(self.dataset.n_rows, np.float32)
        cosines[: len(texts.rows)] = texts.rows @ vector
        cosines[self.live.rows] = self.live.texts @ vector
        return cosines

    def put(self, items: Any, config: ColdItemsConfig) -> tuple[Rows, dict[str, int]]:
        """Put items in by their text.

        Args:
            items: See ``read_new_items``.
            config: Settings of their vectors.

        Returns:
            Their rows, and counts: ``put``, and rows of the table that were not, by reason.

        Raises:
            InputError: The table cannot be read, or there are no text vectors.
        """
        texts, new = self.need_texts(), read_new_items(items, self.dataset)
        rows = self.dataset.rows(new.table["item_id"]).astype(np.int64)
        is_new = rows < self.dataset.vocabulary.first_item
        is_cold = is_new | np.isin(rows, cold_rows(self._trained, self.log, config)) | (rows >= self.log.n_rows)
        has_text = np.array([bool(text) for text in new.texts], np.bool_)
        is_back = ~is_cold & np.isin(rows, self.live.removed)
        cold = np.flatnonzero(is_cold)  # a table may well be the whole catalogue: only these are encoded
        encoded = texts.encode([new.texts[at] for at in cold])
        if not np.isfinite(encoded).all():
            raise InputError("text vectors of new items hold NaN or infinite numbers; the text encoder is damaged.")
        vectors, has = self._vectors(encoded, config)
        goes_in = np.zeros(len(rows), np.bool_)
        goes_in[cold[has]] = True
        added = np.flatnonzero(goes_in & is_new)
        rows[added] = self.dataset.n_rows + np.arange(len(added))
        frame = in_columns_of(self.log.items, new.table.filter(pl.Series(goes_in & is_new))) if len(added) else None
        live = self.live.put(rows[goes_in].astype(np.int32), encoded[has], [part[has] for part in vectors], frame)
        self.live = live.restore(rows[is_back])
        self.dataset = self.dataset if frame is None else self.dataset.with_items(frame)
        self.ranker = self._ranker(self.live)
        counts = {
            "put in": int(goes_in.sum()),
            "removed before and back": int(is_back.sum()),
            "trained on already": int((~is_cold & ~is_back).sum()),
            "without text": int((is_cold & ~has_text).sum()),
            "without a word that trained items have": int((is_cold & has_text & ~goes_in).sum()),
            **new.counts,
        }
        return rows[goes_in | is_back].astype(np.int32), counts

    def put_cold(self, config: ColdItemsConfig) -> tuple[Rows, int]:
        """Give the log's own cold items vectors by their text, and move those of few events with ``shrinkage``.

        Removed items stay removed.

        Returns:
            Rows with another vector, and how many of the cold ones have no text neighbour.

        Raises:
            InputError: No item is trained and has text, or there are no text vectors.
        """
        texts, cold = self.need_texts(), cold_rows(self._trained, self.log, config)
        rows = np.concatenate([shrunk_rows(self._trained, self.log, config), cold])
        rows = np.setdiff1d(rows, np.concatenate([self.live.rows, self.live.removed])).astype(np.int32)
        vectors, has = self._vectors(texts.rows[rows], config, rows)
        self.live = self.live.put(rows, texts.rows[rows], vectors, None)
        self.ranker = self._ranker(self.live)
        return rows, int((~has & np.isin(rows, cold)).sum())

    def _vectors(
        self, texts: Floats, config: ColdItemsConfig, own: Rows | None = None
    ) -> tuple[list[Floats], NDArray[np.bool_]]:
        catalogue = self.need_texts().rows
        return neighbour_vectors(self._trained, self.log, catalogue, texts, config, self._learned, own)

    def remove(self, ids: Any) -> Rows:
        """Remove items, so that no list holds them.

        Returns:
            Their rows.

        Raises:
            InputError: Some are not in the catalogue.
        """
        rows = self.dataset.rows(ids)
        if (unknown := rows < self.dataset.vocabulary.first_item).any():
            names = pl.Series(ids).filter(pl.Series(unknown)).to_list()
            raise InputError(
                f"{len(names):,} of {len(rows):,} items to remove are not in the catalogue: "
                f"{', '.join(map(repr, names[:5]))}{' …' if len(names) > 5 else ''}"
            )
        self.live = self.live.remove(rows)
        return np.unique(rows)

    @property
    def has_vector(self) -> NDArray[np.bool_]:
        """True on rows that the model was trained on, ranks by features, or got by their text, ``[n_rows]``."""
        has = np.arange(self.dataset.n_rows) < self._trained.shape[0]
        has[: self.dataset.vocabulary.first_item] = False
        has[self.live.rows] = True
        return has

    @property
    def has_listed_vector(self) -> NDArray[np.bool_]:
        """True on rows with a vector that were not removed, ``[n_rows]``."""
        has = self.has_vector
        has[self.live.removed] = False
        return has

    def listed(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Rows that may be listed, ``[n_rows]``: neither removed nor cold without a vector; None where all may be."""
        if self.live.is_empty:
            return allowed
        return self.has_listed_vector if allowed is None else allowed & self.has_listed_vector


def _texts_of(ranker: Ranker, live: LiveItems | None) -> "ItemVectors | None":
    """Text vectors of a ranker's own; None where items were put in by vectors of another kind."""
    own = own_texts(ranker)
    if own is None or live is None or not len(live.rows) or live.texts.shape[1] == own.dim:
        return own
    return None
