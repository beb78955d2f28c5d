"""Queries for Elasticsearch, read by a small interpreter: no server can be had where these tests run."""

import importlib

import pytest
from contracts.store_cases import COLUMNS, DIM, holds, make_rows
from contracts.test_stores import FILTERS

from recsys_bert.stores.backend import About
from recsys_bert.stores.columns import checked_filter

pytest.importorskip("elasticsearch", reason="extra 'elastic' is not installed")
elastic = importlib.import_module("recsys_bert.stores.elastic")


def matches(query, row):
    """Truth of a query of one row, as Elasticsearch's reference describes it."""
    ((kind, body),) = query.items()
    if kind == "match_all":
        return True
    if kind == "bool":
        parts = {name: body.get(name, []) for name in ("filter", "must_not", "should")}
        parts = {name: value if isinstance(value, list) else [value] for name, value in parts.items()}
        either = not parts["should"] or any(matches(part, row) for part in parts["should"])
        return (
            either
            and all(matches(p, row) for p in parts["filter"])
            and not any(matches(p, row) for p in parts["must_not"])
        )
    if kind == "exists":
        return row[body["field"]] is not None
    ((name, constant),) = body.items()
    values = row[name] if isinstance(row[name], list) else [] if row[name] is None else [row[name]]
    if kind == "range":
        signs = {"lt": "__lt__", "lte": "__le__", "gt": "__gt__", "gte": "__ge__"}
        return any(
            getattr(float(value), signs[sign])(float(bound)) for value in values for sign, bound in constant.items()
        )
    return bool(set(values) & set(constant if kind == "terms" else [constant]))


@pytest.mark.parametrize("source", FILTERS)
def test_filters_become_queries_that_hold_as_in_python(source):
    rows = make_rows(300)
    query = elastic._query(checked_filter(source, COLUMNS, "str"), About(DIM, columns=COLUMNS))
    columns = rows["columns"].values()
    hits = [matches(query, {f"c{n}": value for n, value in enumerate(row)}) for row in zip(*columns, strict=True)]
    assert hits == holds(rows, FILTERS[source]).tolist()


@pytest.mark.parametrize("product", [-30.0, -0.5, 0.0, 0.5, 30.0])
def test_scores_are_inner_products_again(product):
    score = 1 / (1 - product) if product < 0 else product + 1
    assert elastic._inner_product(score) == pytest.approx(product)
