"""Answers about what is served: columns and items of the catalogue, users and their events."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from pipelines.serving.clicks import check_lists
from pipelines.serving.runs import RECOMMENDER, Run
from pipelines.serving.service import Service
from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.serving import page_shapes as shapes
from recsys_bert.serving.live_histories import Query
from recsys_bert.serving.recommending import ServedRecommender


async def catalogue(service: Service, request: shapes.CatalogueRequest) -> shapes.CatalogueResponse:
    """Columns of the items, and what can be asked of them."""
    run = service.runs.one([RECOMMENDER], request.run)

    def describe() -> shapes.CatalogueResponse:
        model: ServedRecommender = run.model
        dataset = model.catalogue.dataset
        named = dataset.manifest.texts.get("columns") or [None]
        return shapes.CatalogueResponse(
            run=run.name,
            items=dataset.items.height,
            users=len(dataset.user_ids),
            columns=[shapes.Column(**column) for column in model.catalogue.lookup.columns()],
            event_types=dataset.event_types,
            text_column=named[0],
            words=model.catalogue.model.catalogue.texts is not None,
            store=service.store is not None,
            durable=service.live.is_durable,
        )

    return await _read(service, run, describe)


async def find_items(service: Service, request: shapes.FindItemsRequest) -> shapes.ItemsResponse:
    """Items by parts of their id, title or words; no vectors are needed."""
    service.limits.check("k", "k", request.k)
    check_lists(service, request)
    run = service.runs.one([RECOMMENDER], request.run)

    def find() -> shapes.ItemsResponse:
        served = run.model.catalogue
        allowed, _ = served.in_catalogue(request.only, request.without)
        rows, total = served.lookup.find(request.query, request.k, allowed)
        return shapes.ItemsResponse(run=run.name, items=_infos(served, rows), total=total)

    return await _read(service, run, find)


async def get_items(service: Service, request: shapes.GetItemsRequest) -> shapes.ItemsResponse:
    """Items by id, with their values by column."""
    service.limits.check("items", "k", len(request.items))
    run = service.runs.one([RECOMMENDER], request.run)

    def get() -> shapes.ItemsResponse:
        served = run.model.catalogue
        rows = served.rows(list(dict.fromkeys(request.items)))
        items = _infos(served, rows[rows >= 0])
        return shapes.ItemsResponse(run=run.name, items=items, total=len(items), unknown=int((rows < 0).sum()))

    return await _read(service, run, get)


async def find_users(service: Service, request: shapes.FindUsersRequest) -> shapes.UsersResponse:
    """Users of the log by a part of their id."""
    service.limits.check("k", "k", request.k)
    run = service.runs.one([RECOMMENDER], request.run)

    def find() -> shapes.UsersResponse:
        dataset = run.model.catalogue.dataset
        texts = dataset.user_ids.cast(pl.String)
        rows = np.flatnonzero(texts.str.contains(request.query, literal=True).to_numpy())
        rows = np.concatenate([rows[exact := (texts == request.query).to_numpy()[rows]], rows[~exact]])
        events = np.diff(dataset.histories.offsets)
        ids = dataset.user_ids.gather(rows[: request.k]).to_list()
        users = [
            shapes.UserInfo(user_id=user, events=int(events[row]))
            for user, row in zip(ids, rows[: request.k], strict=True)
        ]
        return shapes.UsersResponse(run=run.name, users=users, total=len(rows))

    return await _read(service, run, find)


async def history(service: Service, request: shapes.HistoryRequest) -> shapes.HistoryResponse:
    """Events of a user: of the log, then live ones."""
    service.limits.check("k", "k", request.k)
    run = service.runs.one([RECOMMENDER], request.run)
    return await _read(service, run, lambda: _history(run, request))


def _history(run: Run, request: shapes.HistoryRequest) -> shapes.HistoryResponse:
    model: ServedRecommender = run.model
    known, served = model.live_histories.of(Query(user_id=request.user_id)), model.catalogue
    total, n_logged = len(known.items), model.live_histories.n_logged(known.user)
    start = max(0, total - request.k)
    is_item = known.items >= served.first_item
    rows = known.items[is_item]
    ids, titles = iter(served.ids(rows)), iter(served.titles(rows))
    types, events = served.dataset.event_types, []
    for number in range(total):
        item, title = (next(ids), next(titles)) if is_item[number] else (None, None)
        code, live = int(known.types[number]) - FIRST_VALUE, number >= n_logged
        timestamp = int(known.times[number]) if live or served.dataset.has_times else None
        kind = types[code] if 0 <= code < len(types) else None
        events.append(shapes.HistoryEvent(item_id=item, title=title, timestamp=timestamp, event_type=kind, live=live))
    return shapes.HistoryResponse(
        run=run.name, user_id=request.user_id, in_log=known.user >= 0, events=events[start:], total=total
    )


def _infos(served: Any, rows: Any) -> list[shapes.ItemInfo]:
    return [shapes.ItemInfo(**info) for info in served.lookup.info(rows)]


async def _read(service: Service, run: Run, read: Callable[[], Any]) -> Any:
    """Read where nothing changes the catalogue meanwhile: on the model thread."""
    return await service.compute(run, f"read {id(read)}", lambda batch: [read() for _ in batch], None)
