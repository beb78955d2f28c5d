"""Recommender: any trained ranker with its log; ids in, frames of ids out."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.clicks.frames import to_frame
from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import exact_top_k
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.item_filter import ItemList, allowed_rows
from recsys_bert.retrieval.keyed_queries import KeyedQueries, history_queries, user_queries
from recsys_bert.retrieval.list_frames import in_order, list_frame
from recsys_bert.retrieval.lister import Lister, ListSettings, list_length, rows_with_vectors
from recsys_bert.retrieval.load import copy_run, open_run
from recsys_bert.retrieval.pair_scores import pair_scores
from recsys_bert.retrieval.ranker import Ranker, check_index
from recsys_bert.retrieval.ranker_index import open_index
from recsys_bert.retrieval.score_fusion import without_gains
from recsys_bert.retrieval.similar_users import similar_users
from recsys_bert.retrieval.vector_files import VectorFormat, save_vectors


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
        only: ItemList = None,
        without: ItemList = None,
        diversity: float = 0.0,
        max_per: dict[str, int] | None = None,
        profiles: Any = None,
    ) -> pl.DataFrame:
        """Best items for users, or for histories given on the fly.

        Users without events get the lists of the users with the same features, where ``profiles`` has theirs, else the
        most popular items; the column ``source`` says which.

        Args:
            users: The log's own user ids; None without ``histories`` takes all users.
            histories: Item ids, oldest first, one sequence each.
            k: Items for each.
            exclude_seen: Leave out items of the history.
            only: Allow list: item ids, a dict from side columns to values, a frame, a file, or several of these.
            without: Deny list, likewise.
            diversity: Weight of the redundancy in maximal marginal relevance, in [0, 1); see ``diversity``.
            max_per: Most items of one value in a list, by side column: ``{"category": 2}``.
            profiles: Features of users without events: a frame or file with ``user_id`` and the features' columns.

        Returns:
            ``user_id`` (or ``query``, from 1, for histories), ``rank`` from 1, ``item_id``, ``score``, for users
            ``source`` (history, features, popular), and ``title`` where the catalogue has one.

        Raises:
            InputError: A history without known items, histories for a ranker that reads timestamps, unknown columns or
                values, or nothing that may be listed.
        """
        if users is not None and histories is not None:
            raise InputError("users and histories are both given; give one of them.")
        keyed = user_queries(self.dataset, users) if histories is None else history_queries(self.dataset, histories)
        allowed = allowed_rows(self.dataset, only, without)
        settings = ListSettings(k, exclude_seen, allowed, diversity, max_per or {})
        return self.answer(keyed, settings, profiles)

    def answer(self, keyed: KeyedQueries, settings: ListSettings, profiles: Any = None) -> pl.DataFrame:
        """As ``recommend``, for queries that are made already."""
        if self.ranker.reads_times and not keyed.queries.timed:
            raise InputError(
                f"the encoder of {self.run or self.ranker.name} reads when events happened, and a history given on the "
                "fly does not say. Ask about users of the log."
            )
        if self.index is not None:
            check_index(self.ranker, self.index)
        lister = Lister(self.ranker, self.dataset, self.index, settings)
        source = "history" if keyed.keys.name == "user_id" else None
        frames = [list_frame(self.dataset, lister.by_history(keyed.queries), keyed.keys, source)]
        if len(keyed.without_events):
            frames += lister.without_history(keyed.without_events, profiles)
        return in_order(frames, keyed.order)

    def score(self, pairs: Any) -> pl.DataFrame:
        """Scores of given pairs, by the users' full histories.

        Args:
            pairs: Frame with ``user_id`` and ``item_id``.

        Returns:
            The pairs in their order with ``score``, null where there is none, and ``source``: ``history``, or the
            reason: ``no events``, ``unknown item``, ``no vector``.

        Raises:
            InputError: A column is missing, or ids are of another type than the log's.
        """
        return pair_scores(self.ranker, self.dataset, to_frame(pairs, "pairs"))

    def similar(
        self,
        items: Sequence[Any],
        k: int = 10,
        *,
        similarity: Literal["cosine", "ip"] | None = None,
        only: ItemList = None,
        without: ItemList = None,
    ) -> pl.DataFrame:
        """Items nearest to given items, without themselves.

        Args:
            items: Item ids.
            k: Items for each.
            similarity: Cosine, or inner product (which favours long vectors); None: cosine, or the index's metric.
            only: Allow list; see ``recommend``.
            without: Deny list.

        Returns:
            ``similar_to``, ``rank``, ``item_id``, ``score``, and ``title`` where the catalogue has one.

        Raises:
            InputError: Items that are not in the catalogue or have no vector; or a similarity beside an index.
        """
        if similarity is not None and self.index is not None:
            raise InputError(f"similarity is {similarity!r}, but an index is searched by its own metric.")
        rows, first = rows_with_vectors(self.ranker, self.dataset, items), self.ranker.first_item
        allowed, ranker = allowed_rows(self.dataset, only, without), without_gains(self.ranker)
        vectors = ranker.item_vectors()
        if self.index is not None and self.index.dim != vectors.shape[1]:
            raise InputError(f"the index of {self.ranker.name} holds more than the model's vectors; leave it out.")
        k = list_length(k, self.ranker, self.index, allowed)
        keys, seen = pl.Series("similar_to", self.dataset.ids(rows)), (np.arange(len(rows)), rows)
        if self.index is not None:
            return list_frame(self.dataset, self.index.search(vectors[rows], k, seen, allowed), keys)
        if similarity != "ip":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        lists = exact_top_k(vectors[rows], vectors, k, first_item=first, seen=seen, allowed=allowed)
        return list_frame(self.dataset, lists, keys)

    def similar_users(self, users: Any, k: int = 10) -> pl.DataFrame:
        """Users of the log whose vectors have the largest cosine to given users', without themselves.

        Args:
            users: The log's own user ids.
            k: Users for each; all of a smaller log.

        Returns:
            ``similar_to``, ``rank``, ``user_id``, ``score``.

        Raises:
            InputError: Some have no events in the log.
        """
        ids = user_queries(self.dataset, users)
        self._check_have_events(ids.without_events)
        everybody = Recommender(without_gains(self.ranker), self.dataset).user_vectors()
        table = everybody.select("user_id").with_row_index("row")
        rows = ids.order.to_frame().join(table, on="user_id", how="left", maintain_order="left")["row"].to_numpy()
        vectors = everybody["vector"].to_numpy().reshape(everybody.height, -1)
        return similar_users(vectors, everybody["user_id"], rows.astype(np.int64), k)

    def user_vectors(self, users: Any = None) -> pl.DataFrame:
        """Vectors of users of the log, all of them by default: ``user_id``, ``vector``.

        Raises:
            InputError: Some of the given users have no events in the log, or nobody has.
        """
        keyed = user_queries(self.dataset, users)
        if users is not None or not len(keyed.queries):
            self._check_have_events(keyed.without_events)
        return pl.DataFrame({"user_id": keyed.keys, "vector": self.ranker.user_vectors(keyed.queries)})

    def _check_have_events(self, missing: pl.Series) -> None:
        if len(missing):
            listed = ", ".join(map(repr, missing.head(5).to_list())) + (" …" if len(missing) > 5 else "")
            raise InputError(f"{len(missing):,} users have no events in {self.dataset.folder}, so no vector: {listed}")

    def item_vectors(self) -> pl.DataFrame:
        """Vectors of all items: ``item_id``, ``vector``; the inner product with a user's is the score."""
        vectors, first = self.ranker.item_vectors(), self.ranker.first_item
        ids = self.dataset.ids(np.arange(first, len(vectors))).rename("item_id")
        return pl.DataFrame({"item_id": ids, "vector": vectors[first:]})

    def export_vectors(
        self, folder: Path | str, *, users: bool = True, items: bool = True, form: VectorFormat = "parquet"
    ) -> list[Path]:
        """Write the vectors of users and items with their ids; see ``save_vectors``.

        Args:
            folder: Gets ``items.parquet`` and ``users.parquet``, or ``items.npy``, ``items_ids.csv`` and so on.
            users: Write those of users.
            items: Write those of items.
            form: ``parquet`` or ``npy``.

        Returns:
            The files.

        Raises:
            InputError: Neither is to be written, or it cannot be.
        """
        if not users and not items:
            raise InputError("neither users nor items are to be exported; choose one at least.")
        files = save_vectors(self.item_vectors(), Path(folder), "items", form) if items else []
        return files + (save_vectors(self.user_vectors(), Path(folder), "users", form) if users else [])

    def __repr__(self) -> str:
        rows, dim = self.ranker.shape
        best = self.summary.get("best")
        metric = "" if best is None else f", validation {self.summary.get('monitor', 'metric')} {best:.4f}"
        return f"Recommender({self.ranker.name}: {rows - self.ranker.first_item:,} items, dim {dim}{metric})"

    def _repr_html_(self) -> str:
        """The training's results, for notebooks."""
        lines = {"items": self.ranker.shape[0] - self.ranker.first_item, "dim": self.ranker.shape[1], **self.summary}
        cells = "".join(
            f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in lines.items()
        )
        return f"<table><caption>Recommender: {html.escape(self.ranker.name)}</caption>{cells}</table>"


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
