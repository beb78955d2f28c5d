"""Answers of the map: all items of a run in the plane, and values of a column beside them."""

import numpy as np
from numpy.typing import NDArray

from pipelines.serving.layout import Floats, Layout
from pipelines.serving.runs import RECOMMENDER, Run
from pipelines.serving.service import Service
from recsys_bert.errors import InputError
from recsys_bert.pages.page import packed
from recsys_bert.serving import page_shapes as shapes


async def item_map(service: Service, request: shapes.MapRequest) -> shapes.MapResponse:
    """All items of a run in the plane; ``computing``, then ``rough``, until the layout is there."""
    run = service.runs.one([RECOMMENDER], request.run)

    def read() -> shapes.MapResponse:
        layout, served = _layout(service, run), run.model.catalogue
        if (laid := layout.of(_vectors(run))) is None:
            return shapes.MapResponse(run=run.name, state="computing")
        rows = _rows(run)
        return shapes.MapResponse(
            run=run.name,
            state="ready" if laid.method == layout.settings.method else "rough",
            version=_version(service, run),
            method=laid.method,
            laid_out=laid.n_laid_out,
            ids=served.items.ids(rows),
            points=packed(laid.positions[rows], "float32"),
        )

    return await service.compute(run, "map", lambda batch: [read() for _ in batch], None)


async def map_colours(service: Service, request: shapes.MapColoursRequest) -> shapes.MapColoursResponse:
    """Values of a column in the order of the map's items."""
    from recsys_bert.stages.map_items import page_columns

    run = service.runs.one([RECOMMENDER], request.run)

    def read(one: shapes.MapColoursRequest) -> shapes.MapColoursResponse:
        served, rows, version = run.model.catalogue, _rows(run), _version(service, run)
        columns = page_columns(served.dataset, served.n_rows - served.first_item, [one.column])
        if (column := columns.get(one.column)) is None:
            raise InputError(f"column {one.column[:100]!r} has too many different values to colour by.")
        if column["kind"] == "number":
            numbers = np.array([np.nan if value is None else value for value in column["numbers"]], np.float32)[rows]
            data = packed(numbers, "float32")
            return shapes.MapColoursResponse(run=run.name, version=version, kind="number", data=data)
        data = packed(np.array(column["codes"], np.int32)[rows], "int32")
        return shapes.MapColoursResponse(run=run.name, version=version, kind="text", values=column["values"], data=data)

    return await service.compute(run, "map colours", lambda batch: [read(one) for one in batch], request)


def _layout(service: Service, run: Run) -> Layout:
    """Layout of a run, begun where there is none; those of runs that were loaded again are forgotten."""
    key = (service.runs.generation, run.name)
    service.layouts = {one: layout for one, layout in service.layouts.items() if one[0] == key[0]}
    if key not in service.layouts:
        service.layouts[key] = Layout(_vectors(run), service.settings.map)
    return service.layouts[key]


def _vectors(run: Run) -> Floats:
    vectors: Floats = run.model.catalogue.unit[run.model.catalogue.first_item :]
    return vectors


def _rows(run: Run) -> NDArray[np.int64]:
    """Positions, from the first item on, of items that were not removed."""
    served = run.model.catalogue
    present, _ = served.in_catalogue(None, None)
    return np.flatnonzero(present[served.first_item : served.n_rows])


def _version(service: Service, run: Run) -> str:
    return f"{service.runs.generation}.{run.model.catalogue.version}"
