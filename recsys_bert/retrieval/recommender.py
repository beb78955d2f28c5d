"""Recommender: any trained ranker with its log; ids in, frames of ids out."""

import html
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from recsys_bert.clicks.frames import to_frame
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.retrieval.exact import Allowed
from recsys_bert.retrieval.item_filter import ItemList, allowed_rows
from recsys_bert.retrieval.keyed_queries import KeyedQueries, history_queries, user_queries
from recsys_bert.retrieval.list_frames import in_order, list_frame
from recsys_bert.retrieval.lister import Lister, ListSettings
from recsys_bert.retrieval.opened_model import OpenedModel
from recsys_bert.retrieval.pair_scores import pair_scores
from recsys_bert.retrieval.query_ranker import QueryRanker
from recsys_bert.retrieval.ranker import check_index
from recsys_bert.retrieval.score_fusion import without_gains
from recsys_bert.retrieval.similar_items import similar_items
from recsys_bert.retrieval.similar_users import similar_users
from recsys_bert.retrieval.vector_files import VectorFormat, save_vectors
from recsys_bert.retrieval.word_search import list_by_words

_QUERY_WEIGHT = 0.5


class Recommender(OpenedModel):
    """Recommend items of a log with a trained ranker; see ``OpenedModel`` for its arguments, files and new items."""

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
        query: str | None = None,
        query_weight: float = _QUERY_WEIGHT,
    ) -> pl.DataFrame:
        """Best items for users, or for histories given on the fly, or for the words of a query.

        Users without events get the lists of the users with the same features, where ``profiles`` has theirs, else the
        most popular items; the column ``source`` says which.

        Args:
            users: The log's own user ids; None without ``histories`` and ``query`` takes all users.
            histories: Item ids, oldest first, one sequence each.
            k: Items for each.
            exclude_seen: Leave out items of the history.
            only: Allow list: item ids, a dict from side columns to values, a frame, a file, or several of these.
            without: Deny list, likewise.
            diversity: Weight of the redundancy in maximal marginal relevance, in [0, 1); see ``diversity``.
            max_per: Most items of one value in a list, by side column: ``{"category": 2}``.
            profiles: Features of users without events: a frame or file with ``user_id`` and the features' columns.
            query: Words to be found in the items' texts, weighed with the user's scores; without users they decide
                alone, and the first column is the query. The search is exact then, also beside an index.
            query_weight: Of the words against the user, in (0, 1), both on a scale of spread 1; see ``QueryRanker``.

        Returns:
            ``user_id`` (or ``query``, from 1, for histories), ``rank`` from 1, ``item_id``, ``score``, for users
            ``source`` (history, features, popular), and ``title`` where the catalogue has one.

        Raises:
            InputError: A history without known items, histories for a ranker that reads timestamps, unknown columns or
                values, or nothing that may be listed.
        """
        if users is not None and histories is not None:
            raise InputError("users and histories are both given; give one of them.")
        if query is None and query_weight != _QUERY_WEIGHT:
            raise InputError(f"query_weight is {query_weight}, but there is no query. Leave it out.")
        allowed = allowed_rows(self.dataset, only, without)
        if query is not None and users is None and histories is None:
            if diversity or max_per or profiles is not None or query_weight != _QUERY_WEIGHT:
                raise InputError(
                    "diversity, max_per, profiles and query_weight have no effect on lists by words alone; leave them "
                    "out."
                )
            return self._by_words([query], pl.Series("query", [query]), k, allowed)
        keyed = user_queries(self.dataset, users) if histories is None else history_queries(self.dataset, histories)
        settings = ListSettings(k, exclude_seen, allowed, diversity, max_per or {})
        return self.answer(keyed, settings, profiles, query, query_weight)

    def _by_words(self, texts: Sequence[str], keys: pl.Series, k: int, allowed: Allowed | None) -> pl.DataFrame:
        """Lists of the items whose text is nearest to each of some texts."""
        first, allowed = self.ranker.first_item, self.catalogue.listed(allowed)
        lists = [list_by_words(self.catalogue.cosines(text), k, first, allowed) for text in texts]
        frames = [list_frame(self.dataset, one, keys[at : at + 1]) for at, one in enumerate(lists)]
        return pl.concat(frames)

    def answer(
        self,
        keyed: KeyedQueries,
        settings: ListSettings,
        profiles: Any = None,
        query: str | None = None,
        query_weight: float = _QUERY_WEIGHT,
    ) -> pl.DataFrame:
        """As ``recommend``, for queries that are made already."""
        if self.ranker.reads_times and not keyed.queries.timed:
            raise InputError(
                f"the encoder of {self.run or self.ranker.name} reads when events happened, and a history given on the "
                "fly does not say. Ask about users of the log."
            )
        if self.index is not None:
            check_index(self.ranker, self.index)
        settings = replace(settings, allowed=self.catalogue.listed(settings.allowed))
        ranker, index = self.ranker, self.index
        if query is not None:
            ranker, index = QueryRanker(ranker, self.catalogue.cosines(query), query_weight), None
        lister = Lister(ranker, self.dataset, index, settings)
        source = "history" if keyed.keys.name == "user_id" else None
        frames = [list_frame(self.dataset, lister.by_history(keyed.queries), keyed.keys, source)]
        if query is not None and len(others := keyed.without_events):
            one = list_by_words(self.catalogue.cosines(query), settings.k, self.ranker.first_item, settings.allowed)
            lists = np.repeat(one[0], len(others), axis=0), np.repeat(one[1], len(others), axis=0)
            frames.append(list_frame(self.dataset, lists, others, "query"))
        elif len(keyed.without_events):
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
        return pair_scores(self.ranker, self.dataset, to_frame(pairs, "pairs"), self.catalogue.has_vector)

    def similar(
        self,
        items: Sequence[Any] | None = None,
        k: int = 10,
        *,
        text: str | Sequence[str] | None = None,
        similarity: Literal["cosine", "ip"] | None = None,
        only: ItemList = None,
        without: ItemList = None,
        post_processing: str = "none",
        post_processing_options: dict[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Items nearest to given items, without themselves, or to given texts.

        Args:
            items: Item ids.
            k: Items for each.
            text: Words, or several texts, in place of items: nearest are the items with the most similar text.
            similarity: Cosine, or inner product (which favours long vectors); None: cosine, or the index's metric.
            only: Allow list; see ``recommend``.
            without: Deny list.
            post_processing: Map of the vectors before they are compared, fitted on all items that have one: whitening,
                centring or flow, as in ``POST_PROCESSING``; or none.
            post_processing_options: Options of that map, as ``{"width": 32}``.

        Returns:
            ``similar_to``, ``rank``, ``item_id``, ``score``, and ``title`` where the catalogue has one.

        Raises:
            InputError: Items that are not in the catalogue or have no vector; a similarity beside an index or a text;
                or a text without a known word.
        """
        if (items is None) == (text is None):
            raise InputError("give either items or text.")
        if text is not None:
            if post_processing != "none":
                raise InputError(
                    f"post_processing is {post_processing!r}, but of texts nothing is post-processed here."
                )
            if similarity is not None:
                raise InputError(f"similarity is {similarity!r}, but texts are compared by their cosine. Leave it out.")
            texts = [text] if isinstance(text, str) else list(text)
            if not texts:
                raise InputError("no text is given; give some words.")
            return self._by_words(texts, pl.Series("similar_to", texts), k, allowed_rows(self.dataset, only, without))
        return similar_items(
            self.ranker,
            self.dataset,
            items or [],
            k,
            index=self.index,
            similarity=similarity,
            allowed=self.catalogue.listed(allowed_rows(self.dataset, only, without)),
            has_vector=self.catalogue.has_vector,
            post_processing=post_processing,
            post_processing_options=post_processing_options,
        )

    def similar_users(
        self,
        users: Any,
        k: int = 10,
        *,
        post_processing: str = "none",
        post_processing_options: dict[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Users of the log whose vectors have the largest cosine to given users', without themselves.

        Args:
            users: The log's own user ids.
            k: Users for each; all of a smaller log.
            post_processing: Map of the vectors before they are compared, fitted on those of all users; see ``similar``.
            post_processing_options: Options of that map.

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
        rows = rows.astype(np.int64)
        return similar_users(vectors, everybody["user_id"], rows, k, post_processing, post_processing_options)

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
        """Vectors of all items that have one and were not removed: ``item_id``, ``vector``.

        The inner product with a user's vector is the score.
        """
        vectors, rows = self.ranker.item_vectors(), np.flatnonzero(self.catalogue.has_listed_vector)
        return pl.DataFrame({"item_id": self.dataset.ids(rows).rename("item_id"), "vector": vectors[rows]})

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

    def export(self, folder: Path | str, to: Literal["onnx"] = "onnx") -> Path:
        """Write the user side for onnxruntime, with item vectors and the rows of ids; see ``export_onnx``.

        Args:
            folder: Folder to write; it must not be there, or be empty.
            to: ``onnx``.

        Raises:
            InputError: Another format, a score fusion, items that were put in, or a part that ONNX lacks.
        """
        from recsys_bert.retrieval.onnx_export import export_onnx

        if to != "onnx":
            raise unknown_name("export format", to, ("onnx",))
        return export_onnx(self.ranker, self.dataset, Path(folder))

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
