"""Answers of recommenders and CTR models."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.serving.runs import CTR, RECOMMENDER, Run
from pipelines.serving.service import Service
from recsys_bert.errors import InputError
from recsys_bert.serving import shapes
from recsys_bert.serving.live_histories import LiveHistories, Query
from recsys_bert.serving.live_log import LiveEvent
from recsys_bert.serving.recommending import Listed, ServedRecommender

_INT64 = 2**63


async def recommend(service: Service, request: shapes.RecommendRequest) -> shapes.RecommendResponse:
    """Lists for a user, a history, or several of either."""
    queries, keys = _queries(service, request)
    run = service.runs.one([RECOMMENDER], request.run)
    lists = await _lists(service, run, queries)
    answers = [
        shapes.ItemList(**key, source=one.source, items=_items(run.model, one), notes=one.notes)  # type: ignore[arg-type]
        for key, one in zip(keys, lists, strict=True)
    ]
    return shapes.RecommendResponse(run=run.name, lists=answers)


async def similar(service: Service, request: shapes.SimilarRequest) -> shapes.SimilarResponse:
    """Items nearest to given items."""
    check_lists(service, request)
    service.limits.check("items", "lists", len(request.items))
    run = service.runs.one([RECOMMENDER], request.run)
    model: ServedRecommender = run.model

    def compute(batch: list[shapes.SimilarRequest]) -> list[list[Listed]]:
        return [model.similar(one.items, one.k, one.similarity, one.only, one.without) for one in batch]

    lists = await service.compute(run, "similar", compute, request, len(request.items))
    answers = [
        shapes.SimilarList(similar_to=item, items=_items(run.model, one), notes=one.notes)
        for item, one in zip(request.items, lists, strict=True)
    ]
    return shapes.SimilarResponse(run=run.name, lists=answers)


async def score(service: Service, request: shapes.ScoreRequest) -> shapes.ScoreResponse:
    """Scores of pairs of users and items."""
    service.limits.check("pairs", "history", len(request.pairs))
    run = service.runs.one([RECOMMENDER], request.run)
    pairs = [(pair.user_id, pair.item_id) for pair in request.pairs]
    scored = await service.compute(
        run, "score", lambda batch: [run.model.score(one) for one in batch], pairs, len(pairs)
    )
    return shapes.ScoreResponse(
        run=run.name,
        pairs=[
            shapes.ScoredPair(user_id=user, item_id=item, score=value, source=source)
            for (user, item), (value, source) in zip(pairs, scored, strict=True)
        ],
    )


async def events(service: Service, request: shapes.EventsRequest) -> shapes.EventsResponse:
    """Append events; they count from the next request on."""
    service.limits.check("events", "texts", len(request.events))
    run = service.runs.one([RECOMMENDER], None)
    model: ServedRecommender = run.model
    rejected, accepted = [], list[LiveEvent]()
    for number, event in enumerate(request.events):
        try:
            accepted.append(_live_event(model, event))
        except InputError as error:
            rejected.append(shapes.Rejected(number=number, reason=str(error)))
    if accepted:
        await service.write("events", service.add_events, accepted)
    return shapes.EventsResponse(accepted=len(accepted), rejected=rejected, durable=service.live.is_durable)


async def rank(service: Service, request: shapes.RankRequest) -> shapes.RankResponse:
    """Retrieve candidates, then rank them by click probability."""
    check_lists(service, request)
    service.limits.check("retrieve", "k", request.retrieve)
    service.limits.check("candidates", "k", len(request.candidates or ()))
    _check_integers("user_id", [request.user_id])
    _check_integers("candidates", request.candidates or ())
    _check_integers("context", request.context.values())
    ranker, run, notes = service.runs.one([CTR], request.ranker), None, list[str]()
    if request.candidates is None:
        run = service.runs.one([RECOMMENDER], request.run)
        query = Query(
            user_id=request.user_id,
            history=request.history or (),
            k=request.retrieve,
            only=request.only,
            without=request.without,
            exclude_seen=request.exclude_seen,
        )
        _check_query(service, query)
        (listed,) = await _lists(service, run, [query])
        candidates, notes = run.model.catalogue.ids(listed.rows), listed.notes
    else:
        if request.only is not None or request.without is not None:
            raise InputError("only and without choose among what a recommender lists; candidates are given here.")
        candidates = list(dict.fromkeys(request.candidates))
        if len({type(item) for item in candidates}) > 1:
            raise InputError("candidates are integers and texts; give ids of one type, that of the log.")
    job = (request.user_id, candidates, dict(request.context), request.k, request.by)
    ranked = _ranked(ranker.model, _live_histories(service))
    rows = await service.compute(ranker, "rank", lambda batch: [ranked(one) for one in batch], job)
    names = dict[Any, str | None]()
    if run is not None:
        ids = [item for item, _ in rows]
        names = dict(zip(ids, run.model.catalogue.titles(run.model.catalogue.rows(ids)), strict=True))
    items = [
        shapes.RankedItem(item_id=item, rank=number, probabilities=scores, title=names.get(item))
        for number, (item, scores) in enumerate(rows, 1)
    ]
    return shapes.RankResponse(run=None if run is None else run.name, ranker=ranker.name, items=items, notes=notes)


def _live_histories(service: Service) -> LiveHistories | None:
    """Histories with live events, which the first recommender has; None without one."""
    models = (run.model for run in service.runs.by_name.values() if run.kind == RECOMMENDER)
    model: ServedRecommender | None = next(models, None)
    return None if model is None else model.live_histories


async def _lists(service: Service, run: Run, queries: Sequence[Query]) -> list[Listed]:
    """Lists of queries, which share a batch with those of other requests."""
    lists: list[Listed] = await service.compute(run, "recommend", _recommend_all(run.model), queries, len(queries))
    return lists


def _recommend_all(model: ServedRecommender) -> Any:
    """Lists of several requests with several queries each; a request whose query is refused gets that error."""

    def compute(batch: list[Sequence[Query]]) -> list[Any]:
        flat = iter(model.recommend([query for queries in batch for query in queries]))
        results: list[Any] = []
        for queries in batch:
            lists = [next(flat) for _ in queries]
            error = next((one for one in lists if isinstance(one, Exception)), None)
            results.append(lists if error is None else error)
        return results

    return compute


def _ranked(model: Any, live: LiveHistories | None) -> Any:
    """Rank the candidates of one request with a CTR model, by the log and, where there are any, live events."""
    import polars as pl

    def compute(job: tuple[Any, list[Any], dict[str, Any], int, str | None]) -> list[tuple[Any, dict[str, float]]]:
        user, candidates, context, k, by = job
        columns = model.config.columns
        if user is not None:
            users = pl.DataFrame({columns.user or "user_id": [user], **{name: [v] for name, v in context.items()}})
            history = None if live is None else live.after_log(user)
            frame = model.rank(users, candidates, k=k, by=by, quiet=True, history=history)
        else:
            table = pl.DataFrame({columns.item or "item_id": candidates})
            table = table.with_columns(**{name: pl.lit(value) for name, value in context.items()})
            frame = model.rank(None, table, k=k, by=by, quiet=True)
        names = model.score_names
        rows = frame.select(columns.item, *names).iter_rows()
        return [(item, dict(zip(names, scores, strict=True))) for item, *scores in rows]

    return compute


def _live_event(model: ServedRecommender, event: shapes.Event) -> LiveEvent:
    """Check an event against the log.

    Raises:
        InputError: Ids of another type, an unknown item or event type.
    """
    user = str(model.users.cast(event.user_id))
    item = str(model.catalogue.items.cast(event.item_id))
    if int(model.catalogue.rows([event.item_id])[0]) < 0:
        raise InputError("this item is not in the catalogue.")
    if event.event_type is not None and event.event_type not in model.catalogue.dataset.event_types:
        known = ", ".join(map(repr, model.catalogue.dataset.event_types)) or "none"
        raise InputError(f"the log has no such event type; it has {known}.")
    timestamp = int(time.time()) if event.timestamp is None else event.timestamp
    return LiveEvent(user, item, timestamp, event.event_type)


def check_lists(service: Service, request: shapes.Lists) -> None:
    """Refuse a list that is too long, or made of too long allow and deny lists.

    Raises:
        InputError: So it is.
    """
    service.limits.check("k", "k", request.k)
    for name, lists in (("only", request.only), ("without", request.without)):
        if lists is not None:
            parts = lists.values() if isinstance(lists, dict) else [lists]
            service.limits.check(name, "history", sum(len(p) if isinstance(p, list) else 1 for p in parts))


def _check_integers(name: str, values: Iterable[Any]) -> None:
    """Refuse integers that no column holds.

    Raises:
        InputError: One is beyond 64 bits.
    """
    if any(isinstance(value, int) and not -_INT64 <= value < _INT64 for value in values):
        raise InputError(f"{name} holds an integer beyond 64 bits; no column of a log does.")


def _check_query(service: Service, query: Query) -> None:
    service.limits.check("history", "history", len(query.history))
    if query.text is not None:
        service.limits.check_texts("query", [query.text])
    if query.user_id is None and not query.history and query.text is None:
        raise InputError("nothing says for whom: give user_id, history or query, or several of these.")


def _queries(service: Service, request: shapes.RecommendRequest) -> tuple[list[Query], list[dict[str, Any]]]:
    """Queries of a request, and the key of each list."""
    check_lists(service, request)
    several = [name for name in ("users", "histories") if getattr(request, name) is not None]
    single = [name for name in ("user_id", "history", "history_times") if getattr(request, name) is not None]
    if len(several) > 1 or (several and single):
        raise InputError(f"{' and '.join(several + single)} are given; give one of users and histories, or one list's.")
    settings: dict[str, Any] = {
        "k": request.k,
        "only": request.only,
        "without": request.without,
        "exclude_seen": request.exclude_seen,
        "diversity": request.diversity,
        "max_per": tuple((request.max_per or {}).items()),
        "reasons": request.reasons,
        "text": request.query,
        "text_weight": request.query_weight,
    }
    if request.users is not None:
        service.limits.check("users", "lists", len(request.users))
        return [Query(user_id=user, **settings) for user in request.users], [{"user_id": u} for u in request.users]
    if request.histories is not None:
        service.limits.check("histories", "lists", len(request.histories))
        queries = [Query(history=history, **settings) for history in request.histories]
        for query in queries:
            _check_query(service, query)
        return queries, [{"query": number} for number in range(1, len(queries) + 1)]
    query = Query(
        user_id=request.user_id, history=request.history or (), history_times=request.history_times, **settings
    )
    _check_query(service, query)
    return [query], [{} if request.user_id is None else {"user_id": request.user_id}]


def _items(model: ServedRecommender, listed: Listed) -> list[shapes.ListedItem]:
    """Items of a list with ids, titles and reasons."""
    ids, titles, scores = model.catalogue.ids(listed.rows), model.catalogue.titles(listed.rows), listed.scores.tolist()
    reasons: Sequence[shapes.Reason | None] = [None] * len(ids)
    if (why := listed.reasons) is not None:
        known = why.nearest >= 0
        nearest = iter(
            zip(model.catalogue.ids(why.nearest[known]), model.catalogue.titles(why.nearest[known]), strict=True)
        )
        counts = [None] * len(ids) if why.counts is None else why.counts.tolist()
        recency = [None] * len(ids) if why.recency is None else why.recency.tolist()
        by_text = [None] * len(ids) if why.text is None else why.text.tolist()
        reasons = []
        for number, has_nearest in enumerate(known.tolist()):
            item, title = next(nearest) if has_nearest else (None, None)
            cosine = float(why.cosine[number]) if has_nearest else None
            reasons.append(
                shapes.Reason(
                    nearest=item,
                    cosine=cosine,
                    nearest_title=title,
                    from_counts=counts[number],
                    from_recency=recency[number],
                    from_text=by_text[number],
                )
            )
    return [
        shapes.ListedItem(item_id=item, score=value, title=title, reason=reason)
        for item, value, title, reason in zip(ids, scores, titles, reasons, strict=True)
    ]
