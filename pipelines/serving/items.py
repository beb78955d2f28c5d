"""Items put into the catalogue and removed from it, in every recommender and in the store."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipelines.serving.errors import RequestError
from pipelines.serving.runs import RECOMMENDER
from pipelines.serving.service import Service
from recsys_bert.serving import shapes
from recsys_bert.serving.live_log import LiveItem
from recsys_bert.serving.recommending import ServedRecommender


async def put_items(service: Service, request: shapes.PutItemsRequest) -> shapes.PutItemsResponse:
    """Put items in by text and columns; they are in the next list, and after a restart."""
    service.limits.check("items", "texts", len(request.items))
    service.limits.check_texts("items.text", [item.text for item in request.items if item.text is not None])
    models = _models(service)
    first = next(iter(models.values()))
    rows = {}
    for item in request.items:
        row = first.catalogue.checked(item.item_id, item.text, item.columns)
        rows[row["item_id"]] = row

    def put() -> tuple[list[Any], dict[str, dict[str, int]]]:
        counts, accepted = {}, dict[Any, None]()
        for name, model in models.items():
            ids, counts[name] = model.catalogue.put(list(rows.values()))
            accepted |= dict.fromkeys(ids)
        columns = {id: {name: value for name, value in rows[id].items() if name != "item_id"} for id in accepted}
        service.live.put([LiveItem(str(id), None, columns[id]) for id in accepted])
        _store(service, models, accepted, columns)
        return list(accepted), counts

    ids, counts = await _on_model_thread(service, put)
    return shapes.PutItemsResponse(put=ids, counts=counts, durable=service.live.is_durable)


async def delete_items(service: Service, request: shapes.DeleteItemsRequest) -> shapes.DeleteItemsResponse:
    """Remove items from every list; they stay away after a restart."""
    service.limits.check("items", "history", len(request.items))
    models = _models(service)
    first = next(iter(models.values()))
    ids = list(dict.fromkeys(first.catalogue.items.cast(item) for item in request.items))

    def delete() -> list[Any]:
        removed = dict[Any, None]()
        for model in models.values():
            removed |= dict.fromkeys(model.catalogue.remove(ids))
        service.live.put([LiveItem(str(item), None, {}, deleted=True) for item in removed])
        if service.store is not None:
            service.store.delete(list(removed))
        return list(removed)

    removed = await _on_model_thread(service, delete)
    return shapes.DeleteItemsResponse(deleted=removed, unknown=len(ids) - len(removed), durable=service.live.is_durable)


def _models(service: Service) -> dict[str, ServedRecommender]:
    runs = [run for run in service.runs.by_name.values() if run.kind == RECOMMENDER]
    if not runs:
        raise RequestError(404, "no recommender is served here.")
    return {run.name: run.model for run in runs}


async def _on_model_thread(service: Service, change: Callable[[], Any]) -> Any:
    """Run a change where nothing else reads the catalogue."""
    return await service.models.submit(("items", id(change)), lambda batch: [change() for _ in batch], None)


def _store(
    service: Service,
    models: dict[str, ServedRecommender],
    ids: Sequence[Any] | dict[Any, None],
    columns: dict[Any, Any],
) -> None:
    """Put items into the store, with the vectors of the run that it holds."""
    if (store := service.store) is None or not ids:
        return
    named = store.about.source.get("run")
    fitting = {name: model for name, model in models.items() if model.ranker.shape[1] == store.about.dim}
    if not fitting:
        return
    catalogue = fitting.get(named or "", next(iter(fitting.values()))).catalogue
    rows = catalogue.rows(list(ids))
    known = [(id, row) for id, row in zip(ids, rows.tolist(), strict=True) if 0 <= row < catalogue.n_rows]
    texts = catalogue.dataset.manifest.texts.get("columns", [])
    values = [{name: columns[id].get(name) for name in store.about.columns} for id, _ in known]
    store.put(
        [id for id, _ in known],
        catalogue.ranker.item_vectors()[np.array([row for _, row in known], np.int64)],
        values,
        [" ".join(str(columns[id][name]) for name in texts if columns[id].get(name)) or None for id, _ in known],
    )
