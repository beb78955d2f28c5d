"""Catalogue rows of items that came after a log was prepared."""

import polars as pl


def in_columns_of(items: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """Further items with the columns and types of a catalogue, null where a value is missing or of another kind.

    Args:
        items: The catalogue.
        added: ``item_id`` and some of its columns; others are left out.
    """
    names = [name for name in items.columns if name not in ("item_row", "count")]
    columns = [_cast(added[name], items[name].dtype) if name in added.columns else None for name in names]
    return pl.DataFrame(
        [
            pl.Series(name, [None] * added.height, items[name].dtype) if column is None else column.rename(name)
            for name, column in zip(names, columns, strict=True)
        ]
    )


def below(items: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """A catalogue with further items after its own, without training events."""
    start = int(items["item_row"][-1]) + 1 if items.height else 0
    rows = pl.Series("item_row", range(start, start + added.height), items["item_row"].dtype)
    counts = pl.Series("count", [0] * added.height, items["count"].dtype)
    return pl.concat([items, in_columns_of(items, added).with_columns(rows, counts).select(items.columns)])


def _cast(column: pl.Series, kind: pl.DataType) -> pl.Series | None:
    """A column in another type; None where that makes no sense."""
    if column.dtype == kind:
        return column
    if isinstance(kind, pl.List) and not column.dtype.is_nested():
        return column.cast(kind.inner, strict=False).to_frame().select(pl.concat_list(pl.first()))[column.name]
    if kind.is_nested() or column.dtype.is_nested():
        return None
    return column.cast(kind, strict=False)
