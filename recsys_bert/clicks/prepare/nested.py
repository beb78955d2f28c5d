"""Rows that hold several events: lists of items with or without times, and lists of event objects."""

import re
from collections.abc import Iterable

import polars as pl

from recsys_bert.clicks.prepare.marks import RAGGED

_SAMPLE = 1_000
_ELEMENT = r"""'[^']*'|"[^"]*"|[^\s,\[\]()]+"""
_WRITTEN_LIST = re.compile(r"^\s*\[.*\]\s*$", re.DOTALL)


def written_list(text: pl.Expr) -> pl.Expr:
    """Elements of a list written as Python, JSON or numpy writes it."""
    elements = text.str.extract_all(_ELEMENT)
    return elements.list.eval(pl.element().str.replace(r"""^(?:'(.*)'|"(.*)")$""", "$1$2"))


def is_written_list(values: pl.Series) -> bool:
    """True if all texts of a sample are lists in brackets."""
    texts = values.drop_nulls().to_list()
    return bool(texts) and all(_WRITTEN_LIST.match(text) for text in texts)


def one_event_a_row(table: pl.LazyFrame, names: Iterable[str | None], item: str, separator: str | None) -> pl.LazyFrame:
    """Turn dotted names into columns and lists into rows.

    Args:
        table: The table.
        names: Columns that are read; ``events.aid`` is field ``aid`` of the objects in the lists of column ``events``.
        item: The one of the items. If it holds lists, the others hold one value a row or as long lists.
        separator: Cuts text into lists; None: only text in brackets is a list.

    Returns:
        One row an event. Lists of different lengths in one row make it ``RAGGED``, without an item.
    """
    used = list(dict.fromkeys(name for name in names if name is not None))
    for name in used:
        table = _dotted(table, name)
    schema = table.collect_schema()
    if item not in schema:
        return table
    present = [name for name in used if name in schema]
    table = _text_lists(table, [name for name in present if schema[name] == pl.String], item, separator)
    schema = table.collect_schema()
    lists = [name for name in present if isinstance(schema[name], pl.List | pl.Array)]
    if item not in lists:
        return table
    table = table.with_columns(pl.col(name).arr.to_list() for name in lists if isinstance(schema[name], pl.Array))
    lengths = [pl.col(name).list.len() for name in lists]
    same = pl.all_horizontal([length == lengths[0] for length in lengths]).fill_null(False)
    ragged = ~same if RAGGED not in schema else pl.col(RAGGED) | ~same
    if len(lists) > 1:
        table = table.with_columns(ragged.alias(RAGGED)).with_columns(
            pl.when(~pl.col(RAGGED)).then(pl.col(name)).alias(name) for name in lists
        )
    return table.explode(lists, empty_as_null=True, keep_nulls=True)


def _dotted(table: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Make a column of a field of objects."""
    schema = table.collect_schema()
    root, _, field = name.partition(".")
    if name in schema or not field or root not in schema:
        return table
    kind = schema[root]
    if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct):
        return (
            table.with_columns(pl.col(root).list.eval(pl.element().struct.field(field)).alias(name))
            if field in [one.name for one in kind.inner.fields]
            else table
        )
    if isinstance(kind, pl.Struct) and field in [one.name for one in kind.fields]:
        return table.with_columns(pl.col(root).struct.field(field).alias(name))
    return table


def _text_lists(table: pl.LazyFrame, names: list[str], item: str, separator: str | None) -> pl.LazyFrame:
    """Cut text columns that hold lists; beside the items, those with as many values in every row of a sample."""
    if item not in names:
        return table
    sample = table.select(names).head(_SAMPLE).collect(engine="streaming")
    if is_written_list(sample[item]):
        lists = [name for name in names if is_written_list(sample[name])]
        return table.with_columns(written_list(pl.col(name)).alias(name) for name in lists)
    if separator is None:
        return table
    counts = sample.select(pl.all().str.count_matches(separator, literal=True))
    several = counts[item] > 0
    parallel = several.any()
    lists = [name for name in names if name == item or (parallel and (counts[name] == counts[item]).all())]
    return table.with_columns(_cut(pl.col(name), separator).alias(name) for name in lists)


def _cut(text: pl.Expr, separator: str) -> pl.Expr:
    values = text.str.strip_chars().str.split(separator).list.eval(pl.element().str.strip_chars())
    return values.list.eval(pl.element().filter(pl.element() != ""))
