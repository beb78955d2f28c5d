"""Lists for many requests at once: one pass of the user tower, then a search a group of like settings."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.diversity import Cap, caps, diverse_lists
from recsys_bert.retrieval.exact import Allowed, exact_top_k
from recsys_bert.retrieval.pair_scores import REASONS
from recsys_bert.retrieval.query_ranker import QueryRanker
from recsys_bert.retrieval.ranker import Lists, Ranker, check_index, search_index, search_vectors
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.retrieval.score_fusion import recent_gains, without_gains
from recsys_bert.retrieval.word_search import list_by_words
from recsys_bert.serving.id_rows import IdRows
from recsys_bert.serving.live_histories import Known, LiveHistories, Query
from recsys_bert.serving.live_log import LiveLog
from recsys_bert.serving.served_catalogue import ServedCatalogue

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Listed:
    """A list: rows best first and their scores; ``source`` is ``history``, ``query`` or ``popular``."""

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    source: str
    notes: list[str] = field(default_factory=list)
    reasons: "Reasons | None" = None


@dataclass(frozen=True)
class Reasons:
    """Why items are listed, an entry an item.

    Args:
        nearest: Row of the history with the largest cosine; -1 where none has a vector.
        cosine: That cosine.
        counts: Part of the score from co-occurrence counts; None where the ranker has none.
        recency: Part from recency; None likewise.
        text: Part from the texts of the history; None likewise.
    """

    nearest: Ints
    cosine: NDArray[np.float32]
    counts: NDArray[np.float32] | None
    recency: NDArray[np.float32] | None
    text: NDArray[np.float32] | None


class ServedRecommender:
    """A recommender that answers again and again; item vectors are computed once.

    Args:
        model: The recommender; with an index it is searched by that, unless words are asked for, too.
        live: Events that came after the log; None: there are none.
        runtime: See ``ServedCatalogue``.
    """

    def __init__(
        self, model: Recommender, live: LiveLog | None = None, runtime: Callable[[Ranker], Ranker] | None = None
    ) -> None:
        self.catalogue = ServedCatalogue(model, runtime)
        if model.index is not None:
            check_index(self.ranker, model.index)
        self.users = IdRows(model.dataset.user_ids, "user")
        self.live_histories = LiveHistories(
            model.catalogue.log, self.users, self.catalogue.rows, live, reads_times=model.ranker.reads_times
        )
        if live is not None:
            self.catalogue.restore(live.items())

    @property
    def ranker(self) -> Ranker:
        """The ranker, whose item vectors are at hand."""
        return self.catalogue.ranker

    def recommend(self, queries: Sequence[Query]) -> list[Listed | InputError]:
        """Lists of queries; those that cannot be answered get the error that says why."""
        results: list[Listed | InputError | None] = [None] * len(queries)
        known: dict[int, Known] = {}
        for number, query in enumerate(queries):
            try:
                one = self.live_histories.of(query)
                if len(one.items):
                    known[number] = one
                else:
                    results[number] = self._without_history(query, one.notes)
            except InputError as error:
                results[number] = error
        if known:
            self._by_history(queries, known, results)
        return [result for result in results if result is not None]

    def user_vector(self, query: Query) -> NDArray[np.float32]:
        """Vector of a user, ``[d]``, whose inner product with an item's is the score.

        Raises:
            InputError: Nothing is known of the user.
        """
        known = self.live_histories.of(query)
        if not len(known.items):
            raise InputError("there is no event of this user, hence no vector.")
        vector: NDArray[np.float32] = self.ranker.user_vectors(self.live_histories.queries([known]))[0]
        return vector

    def similar(
        self, ids: Sequence[str | int], k: int, similarity: str, only: Any = None, without: Any = None
    ) -> list[Listed]:
        """Items nearest to given items, without themselves.

        Args:
            ids: Item ids.
            k: Items for each.
            similarity: ``cosine``, or ``ip`` for the inner product.
            only: Allow list.
            without: Deny list.

        Raises:
            InputError: Unknown items, or items without a vector.
        """
        rows = self.catalogue.rows(ids)
        if missing := [item for item, row in zip(ids, rows, strict=True) if row < 0]:
            raise InputError(f"{len(missing)} of {len(ids)} items are not in the catalogue: {str(missing[:5])[:200]}")
        vectors = self.catalogue.unit if similarity == "cosine" else without_gains(self.ranker).item_vectors()
        if cold := [item for item, row in zip(ids, rows, strict=True) if row >= len(vectors)]:
            raise InputError(f"items without training events have no vector in this run: {str(cold[:5])[:200]}")
        allowed, notes = self.catalogue.allowed(only, without)
        n_left = self._n_left(allowed)
        seen = (np.arange(len(rows)), rows.astype(np.int32))
        lists = exact_top_k(
            vectors[rows], vectors, min(k, n_left), first_item=self.catalogue.first_item, seen=seen, allowed=allowed
        )
        return [
            _with_length(Listed(one[one >= 0], scores[one >= 0], "history", list(notes)), k)
            for one, scores in zip(*lists, strict=True)
        ]

    def score(self, pairs: Sequence[tuple[str | int, str | int]]) -> list[tuple[float | None, str]]:
        """Scores of (user, item) pairs, None where there is none, and their source as ``pair_scores`` names it.

        Raises:
            InputError: Ids of another type than the log's.
        """
        users = list(dict.fromkeys(self.users.cast(user) for user, _ in pairs))
        known = {user: one for user in users if len((one := self.live_histories.of(Query(user_id=user))).items)}
        rows = self.catalogue.rows([item for _, item in pairs])
        position = {user: at for at, user in enumerate(known)}
        query = np.array([position.get(self.users.cast(user), -1) for user, _ in pairs], np.int64)
        reason = np.select([query < 0, rows < 0, rows >= self.catalogue.n_rows], [1, 2, 3], 0)
        scored = np.flatnonzero(reason == 0)
        scores = np.full(len(pairs), np.nan)
        if len(scored):
            histories = self.live_histories.queries(list(known.values()))
            vectors, items = self.ranker.user_vectors(histories), self.ranker.item_vectors()
            query, rows = query[scored], rows[scored]
            scores[scored] = np.einsum("nd,nd->n", vectors[query], items[rows])
            gains = self.ranker.gains(histories, query, rows)
            scores[scored] += 0 if gains is None else gains
        return [
            (None if np.isnan(value) else float(value), REASONS[number])
            for value, number in zip(scores.tolist(), reason.tolist(), strict=True)
        ]

    def _by_history(
        self, queries: Sequence[Query], known: dict[int, Known], results: list[Listed | InputError | None]
    ) -> None:
        """Fill in the results of queries with a history."""
        numbers = list(known)
        histories = self.live_histories.queries([known[number] for number in numbers])
        users = self.ranker.user_vectors(histories)
        groups: dict[Hashable, list[int]] = {}
        for at, number in enumerate(numbers):
            groups.setdefault(_group(queries[number]), []).append(at)
        for members in groups.values():
            part = np.array(members)
            k = max(queries[numbers[at]].k for at in members)
            query = replace(queries[numbers[members[0]]], k=k)
            try:
                allowed, notes = self.catalogue.allowed(query.only, query.without)
                rows, scores = self._search(users[part], histories[part], query, allowed)
            except InputError as error:
                for at in members:
                    results[numbers[at]] = error
                continue
            for at, one_rows, one_scores in zip(members, rows, scores, strict=True):
                listed = (one_rows >= 0).nonzero()[0][: queries[numbers[at]].k]
                own = [*known[numbers[at]].notes, *notes]
                result = Listed(one_rows[listed], one_scores[listed], "history", own)
                if queries[numbers[at]].reasons:
                    one = histories[np.array([at])]
                    result = replace(result, reasons=self._reasons(result, one, users[at]))
                results[numbers[at]] = _with_length(result, queries[numbers[at]].k)

    def _search(self, users: NDArray[np.float32], histories: Queries, query: Query, allowed: Allowed | None) -> Lists:
        """Lists of queries with the same settings."""
        ranker, n_left = self.ranker, self._n_left(allowed)
        if query.text is not None:
            ranker = QueryRanker(ranker, self.catalogue.model.catalogue.cosines(query.text), query.text_weight)
            users = ranker.user_vectors(histories)
        items, seen = ranker.item_vectors(), histories.seen() if query.exclude_seen else None
        index = self.catalogue.model.index if query.text is None else None  # which holds no cosines with a text
        n_left = n_left if index is None else min(n_left, len(index))

        def search(size: int) -> Lists:
            if index is None:
                return search_vectors(ranker, users, items, histories, size, seen, allowed)
            return search_index(ranker, index, users, histories, size, seen, allowed)

        k, limits = min(query.k, n_left), self._caps(query)
        if not query.diversity and not limits:
            return search(k)
        return diverse_lists(search, without_gains(self.ranker).item_vectors(), k, n_left, query.diversity, limits)

    def _n_left(self, allowed: Allowed | None) -> int:
        """Items that may be listed and have a vector.

        Raises:
            InputError: There are none.
        """
        rows = slice(self.catalogue.first_item, self.catalogue.n_rows)
        n_left = self.catalogue.n_rows - self.catalogue.first_item if allowed is None else int(allowed[rows].sum())
        if not n_left:
            raise InputError("only and without leave no item that this run has a vector of.")
        return n_left

    def _without_history(self, query: Query, notes: list[str]) -> Listed:
        """The list where nothing is known of a user: by the words of the query, else the popular items."""
        catalogue = self.catalogue
        allowed, more = catalogue.allowed(query.only, query.without)
        if query.text is not None:
            (rows,), (scores,) = list_by_words(
                catalogue.model.catalogue.cosines(query.text), query.k, catalogue.first_item, allowed
            )
            return _with_length(Listed(rows, scores, "query", [*notes, *more]), query.k)
        n_left = catalogue.dataset.items.height if allowed is None else int(allowed.sum())
        k, limits = min(query.k, n_left), self._caps(query)
        if (query.diversity or limits) and k:
            vectors = without_gains(self.ranker).item_vectors()
            vectors = np.pad(vectors, ((0, catalogue.dataset.n_rows - len(vectors)), (0, 0)))
            (rows,), (scores,) = diverse_lists(
                lambda size: catalogue.popular(size, allowed), vectors, k, n_left, query.diversity, limits
            )
        else:
            (rows,), (scores,) = catalogue.popular(k, allowed)
        listed = rows >= 0
        return _with_length(Listed(rows[listed], scores[listed], "popular", [*notes, *more]), query.k)

    def _caps(self, query: Query) -> list[Cap]:
        return caps(self.catalogue.dataset, dict(query.max_per))

    def _reasons(self, result: Listed, histories: Queries, user: NDArray[np.float32]) -> Reasons:
        """Nearest items of one user's history, and the parts of the scores."""
        unit, ranker = self.catalogue.unit, self.ranker
        events = histories.histories.items[int(histories.start[0]) : int(histories.stop[0])]
        history = np.unique(events).astype(np.int64)
        history = history[(history >= self.catalogue.first_item) & (history < len(unit))]
        rows = result.rows.astype(np.int64)
        cosine, nearest = np.zeros(len(rows), np.float32), np.full(len(rows), -1, np.int64)
        if len(history):
            table = unit[rows] @ unit[history].T
            nearest, cosine = history[table.argmax(axis=1)], table.max(axis=1)
        recent, texts = recent_gains(ranker), getattr(ranker, "texts", None)
        gains = ranker.gains(histories, np.zeros(len(rows), np.int64), rows)
        by_text = None
        if texts is not None:  # the last numbers of both vectors
            by_text = ranker.item_vectors()[rows, -texts[0].dim :] @ user[-texts[0].dim :]
        return Reasons(nearest, cosine, gains, None if recent is None else recent[rows], by_text)


def _group(query: Query) -> Hashable:
    """Queries of one group are searched together; the length of plain lists may differ, as the shorter is a prefix."""
    varied = query.diversity or query.max_per
    filters = (repr(query.only), repr(query.without), query.exclude_seen)
    return (*filters, query.diversity, query.max_per, varied and query.k, query.text, query.text_weight)


def _with_length(result: Listed, k: int) -> Listed:
    if len(result.rows) < k:
        result.notes.append(f"the list has {len(result.rows)} items, not {k}: no more are left")
    return result
