"""Recommender: any trained ranker with its log; ids in, frames of ids out."""

import html
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import exact_top_k
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.keyed_queries import KeyedQueries, history_queries, user_queries
from recsys_bert.retrieval.load import copy_run, open_run
from recsys_bert.retrieval.ranker import Lists, Ranker, check_index, search
from recsys_bert.retrieval.ranker_index import open_index

_TITLES = ("title", "item_title", "movie_title", "name", "item_name", "product_name")


class Recommender:
    """Recommend items of a log with a trained ranker.

    Args:
        ranker: The model.
        dataset: The log that it was trained on.
        run: Its run folder; None where it has none, as a ranker of your own.
        index: Index to search; None ranks exactly.
        summary: Results of its training.
    """

    def __init__(
        self,
        ranker: Ranker,
        dataset: ClickDataset,
        run: Path | None = None,
        *,
        index: ItemIndex | None = None,
        summary: dict[str, Any] | None = None,
    ) -> None:
        self.ranker, self.dataset, self.run, self.index = ranker, dataset, run, index
        self.summary = summary or {}

    @classmethod
    def load(
        cls,
        run: Path | str,
        dataset: ClickDataset | Path | str,
        index: Path | str | None = None,
        *,
        allow_parts: bool = False,
    ) -> "Recommender":
        """Open a run of ``pretrain``, ``train-retrieval`` or ``fuse``.

        Args:
            run: Run folder, or what ``save`` wrote.
            dataset: The log that it was trained on, or its folder.
            index: Index folder to search; None ranks exactly.
            allow_parts: Import parts from outside (``module:Class``) that the saved settings name; their code runs.

        Raises:
            InputError: No such run, a damaged one, or one of another log; or the index is not of this run.
        """
        opened = dataset if isinstance(dataset, ClickDataset) else open_dataset(Path(dataset))
        with allowing_parts(allow_parts):
            ranker = open_run(Path(run), opened)
        search_index = None if index is None else open_index(Path(index), Path(run), opened)
        return cls(ranker, opened, Path(run), index=search_index)

    def save(self, folder: Path | str) -> None:
        """Copy the model to ``folder``, for ``load``; checkpoints stay behind.

        Raises:
            InputError: This ranker has no run folder, or something else lies there.
        """
        if self.run is None:
            raise InputError(f"{self.ranker.name} has no run folder to copy; save its model by its own means.")
        copy_run(self.run, Path(folder))

    def recommend(
        self,
        users: Any = None,
        *,
        histories: Sequence[Sequence[Any]] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
    ) -> pl.DataFrame:
        """Best items for users of the log, or for histories given on the fly.

        Args:
            users: The log's own user ids; None without ``histories`` takes all users.
            histories: Item ids, oldest first, one sequence each.
            k: Items for each.
            exclude_seen: Leave out items of the history.

        Returns:
            ``user_id`` (or ``query``, from 1, for histories), ``rank`` from 1, ``item_id``, ``score``, and ``title``
            where the catalogue has one.

        Raises:
            InputError: Unknown users, a history without known items, or histories for a ranker that reads timestamps.
        """
        if users is not None and histories is not None:
            raise InputError("users and histories are both given; give one of them.")
        keyed = user_queries(self.dataset, users) if histories is None else history_queries(self.dataset, histories)
        return self.answer(keyed, k, exclude_seen)

    def answer(self, keyed: KeyedQueries, k: int = 10, exclude_seen: bool = True) -> pl.DataFrame:
        """As ``recommend``, for queries that are made already."""
        if self.ranker.reads_times and not keyed.queries.timed:
            raise InputError(
                f"the encoder of {self.run or self.ranker.name} reads when events happened, and a history given on the "
                "fly does not say. Ask about users of the log."
            )
        if self.index is not None:
            check_index(self.ranker, self.index)
        k = self._cut(k)
        seen = keyed.queries.seen() if exclude_seen else None
        return self._frame(search(self.ranker, keyed.queries, k, seen, self.index), keyed.keys)

    def similar(
        self, items: Sequence[Any], k: int = 10, *, similarity: Literal["cosine", "ip"] | None = None
    ) -> pl.DataFrame:
        """Items nearest to given items, without themselves.

        Args:
            items: Item ids.
            k: Items for each.
            similarity: Cosine, or inner product (which favours long vectors); None: cosine, or the index's metric.

        Returns:
            ``similar_to``, ``rank``, ``item_id``, ``score``, and ``title`` where the catalogue has one.

        Raises:
            InputError: Items that are not in the catalogue or have no vector; or a similarity beside an index.
        """
        if similarity is not None and self.index is not None:
            raise InputError(f"similarity is {similarity!r}, but an index is searched by its own metric.")
        rows, first = self._rows(items), self.ranker.first_item
        vectors, k = self.ranker.item_vectors(), self._cut(k)
        keys, seen = pl.Series("similar_to", self.dataset.ids(rows)), (np.arange(len(rows)), rows)
        if self.index is not None:
            return self._frame(self.index.search(vectors[rows], k, seen), keys)
        if similarity != "ip":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return self._frame(exact_top_k(vectors[rows], vectors, k, first_item=first, seen=seen), keys)

    def user_vectors(self, users: Any = None) -> pl.DataFrame:
        """Vectors of users of the log, all of them by default: ``user_id``, ``vector``.

        Raises:
            InputError: Some are not in the log, or none has an event.
        """
        keyed = user_queries(self.dataset, users)
        return pl.DataFrame({"user_id": keyed.keys, "vector": self.ranker.user_vectors(keyed.queries)})

    def item_vectors(self) -> pl.DataFrame:
        """Vectors of all items: ``item_id``, ``vector``; the inner product with a user's is the score."""
        vectors, first = self.ranker.item_vectors(), self.ranker.first_item
        ids = self.dataset.ids(np.arange(first, len(vectors))).rename("item_id")
        return pl.DataFrame({"item_id": ids, "vector": vectors[first:]})

    def __repr__(self) -> str:
        rows, dim = self.ranker.shape
        best = self.summary.get("best")
        metric = "" if best is None else f", validation {self.summary.get('monitor', 'metric')} {best:.4f}"
        return f"Recommender({self.ranker.name}: {rows - self.ranker.first_item:,} items, dim {dim}{metric})"

    def _repr_html_(self) -> str:
        """Table of the training's results, for notebooks."""
        lines = {"items": self.ranker.shape[0] - self.ranker.first_item, "dim": self.ranker.shape[1], **self.summary}
        cells = "".join(
            f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in lines.items()
        )
        return f"<table><caption>Recommender: {html.escape(self.ranker.name)}</caption>{cells}</table>"

    def _cut(self, k: int) -> int:
        """``k``, or the number of items where that is smaller, with a note."""
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1.")
        n_items = len(self.index) if self.index is not None else self.ranker.shape[0] - self.ranker.first_item
        if k > n_items:
            print(f"k is {k}; the catalogue has {n_items} items, so lists have {n_items}.", file=sys.stderr)
        return min(k, n_items)

    def _rows(self, items: Sequence[Any]) -> NDArray[np.int32]:
        """Rows of items, which must be in the catalogue and have vectors."""
        ids = list(items)
        if not ids:
            raise InputError("no item is given; give item ids.")
        rows = self.dataset.rows(ids)
        missing = [item for item, row in zip(ids, rows, strict=True) if row < self.dataset.vocabulary.first_item]
        if missing:
            raise InputError(
                f"{len(missing):,} of {len(ids):,} items are not in {self.dataset.folder}: "
                f"{', '.join(map(repr, missing[:5]))}{' …' if len(missing) > 5 else ''}"
            )
        if (cold := rows >= self.ranker.shape[0]).any():
            names = self.dataset.ids(rows[cold]).to_list()
            raise InputError(
                f"items without training events have no vector in {self.run or self.ranker.name}: {names}. Use two "
                "towers with item features."
            )
        return rows

    def _frame(self, lists: Lists, keys: pl.Series) -> pl.DataFrame:
        """One line an item."""
        query, index = np.nonzero(lists[0] >= 0)
        rows = lists[0][query, index]
        columns = {"rank": (index + 1).astype(np.int32), "item_id": self.dataset.ids(rows)}
        frame = pl.DataFrame({keys.name: keys.gather(query), **columns, "score": lists[1][query, index]})
        title = next((name for name in _TITLES if name in self.dataset.items.columns), None)
        if title is None:
            return frame
        titles = self.dataset.items[title].gather(rows - self.dataset.vocabulary.first_item)
        return frame.with_columns(title=titles)


def run_folder_of(model: "Path | str | Recommender") -> Path:
    """Run folder of a model, or the path itself.

    Raises:
        InputError: The model has none.
    """
    if isinstance(model, Recommender):
        if model.run is None:
            raise InputError(f"{model.ranker.name} has no run folder; give a run, or what a stage returned.")
        return model.run
    return Path(model)
