"""Allow and deny lists: catalogue rows by id, or by the value of a side column."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.frames import to_frame
from recsys_bert.clicks.prepare.sources import read_table
from recsys_bert.errors import InputError, unknown_name

Rows = NDArray[np.bool_]

ItemList = Any
"""Item ids (a list or Series), a dict from side columns to values, a frame or file with a column of either kind, or a
list of such."""


def allowed_rows(dataset: ClickDataset, only: ItemList = None, without: ItemList = None) -> Rows | None:
    """Rows that may be listed, ``[n_rows]``; None where nothing is filtered.

    Args:
        dataset: The log.
        only: Items that may be listed: those in every one of several lists; values of one column are alternatives.
        without: Items that may not be: those in any of the lists.

    Raises:
        InputError: Unknown columns or values, files that cannot be read, or nothing is left.
    """
    if only is None and without is None:
        return None
    rows = np.arange(dataset.n_rows) >= dataset.vocabulary.first_item
    for part in _parts(only):
        for member in _members(dataset, part):
            rows &= member
    for part in _parts(without):
        for member in _members(dataset, part):
            rows &= ~member
    if not rows.any():
        raise InputError(f"only and without leave none of the {dataset.items.height:,} items of {dataset.folder}.")
    return rows


def column_names(dataset: ClickDataset) -> list[str]:
    """Side columns of the catalogue."""
    return [name for name in dataset.items.columns if name not in ("item_row", "item_id", "count")]


def column_values(dataset: ClickDataset, name: str) -> pl.Series:
    """Text values of a side column by item, ``[items]`` lists; empty where it has none.

    Raises:
        InputError: No such column, or it holds structures.
    """
    if name not in column_names(dataset):
        raise unknown_name("side column of the items", name, column_names(dataset))
    column = dataset.items[name]
    if column.dtype == pl.String and dataset.manifest.features.get("items", {}).get(name, {}).get("multi"):
        column = column.str.split(dataset.manifest.config.get("item_features", {}).get("separator", "|"))
    if isinstance(column.dtype, pl.List | pl.Array):
        lists = column.to_frame().select(pl.col(name).cast(pl.List(pl.String)))[name]
    elif column.dtype.is_nested():
        raise InputError(f"column {name!r} of the items holds {column.dtype}; name one with plain values.")
    else:
        lists = _text(column).to_frame().select(pl.concat_list(name))[name]
    return lists.to_frame().select(
        pl.col(name).list.eval(pl.element().str.strip_chars().drop_nulls()).fill_null(pl.lit([], dtype=lists.dtype))
    )[name]


def _text(values: pl.Series) -> pl.Series:
    """Values as text; whole floats as whole numbers."""
    if values.dtype.is_float() and (values.drop_nulls() % 1 == 0).all():
        values = values.cast(pl.Int64)
    return values.cast(pl.String)


def _parts(lists: ItemList) -> list[Any]:
    """Separate several lists from one."""
    if lists is None:
        return []
    if isinstance(lists, list | tuple) and any(_is_source(part) for part in lists):
        return list(lists)
    return [lists]


def _is_source(part: Any) -> bool:
    return isinstance(part, Mapping | Path) or (hasattr(part, "__arrow_c_stream__") and not isinstance(part, pl.Series))


def _members(dataset: ClickDataset, part: Any) -> list[Rows]:
    """Rows of one list; of a dict, those of every column."""
    if isinstance(part, Mapping):
        return [_by_value(dataset, name, _listed(values), strict=True) for name, values in part.items()]
    if isinstance(part, str | Path):
        return [_by_file(dataset, Path(part))]
    if _is_source(part):
        return [_by_frame(dataset, to_frame(part, "the item list"), "the item list")]
    return [_by_id(dataset, part, "the item list")]


def _listed(values: Any) -> Sequence[Any]:
    return [values] if isinstance(values, str | int | float | bool) else list(values)


def _by_id(dataset: ClickDataset, ids: Any, source: str) -> Rows:
    """Rows of ids; those that the log does not have are counted."""
    rows = dataset.rows(ids)
    known = rows >= dataset.vocabulary.first_item
    if len(rows) and not known.any():
        print(f"warning: no id of {source} is in {dataset.folder}.", file=sys.stderr)
    elif n_unknown := int((~known).sum()):
        print(f"{n_unknown:,} of {len(rows):,} ids of {source} are not in {dataset.folder}.", file=sys.stderr)
    return _mask(dataset, rows[known])


def _by_value(dataset: ClickDataset, name: str, values: Sequence[Any], *, strict: bool) -> Rows:
    """Rows with any of the values in a side column.

    Raises:
        InputError: A value that no item has, where ``strict``.
    """
    if name == "item_id":
        return _by_id(dataset, values, "the item list")
    items, values_text = column_values(dataset, name), _text(pl.Series(values, strict=False)).str.strip_chars()
    exploded = pl.DataFrame({"item": np.arange(len(items)), "value": items}).explode("value", empty_as_null=True)
    known = exploded["value"].drop_nulls().unique()
    if len(missing := values_text.filter(~values_text.is_in(known.implode()))):
        if strict:
            near = difflib.get_close_matches(str(missing[0]), known.to_list(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"some of its {len(known):,}: " + _some(known)
            raise InputError(f"no item has {name} {missing[0]!r}; {hint}")
        print(f"{len(missing):,} of {len(values_text):,} values of {name} are of no item.", file=sys.stderr)
    hits = exploded.filter(pl.col("value").is_in(values_text.implode()))["item"].to_numpy()
    return _mask(dataset, hits + dataset.vocabulary.first_item)


def _some(values: pl.Series) -> str:
    return ", ".join(map(repr, values.sort().head(5).to_list())) + (" …" if len(values) > 5 else "")


def _by_file(dataset: ClickDataset, path: Path) -> Rows:
    """Rows of a table with a column of ids or of side values, or of a text file with one id a line."""
    if path.suffix == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the item list {path} cannot be read: {error}.") from error
        return _by_id(dataset, pl.Series([line.strip() for line in lines if line.strip()], dtype=pl.String), path.name)
    try:
        frame = read_table(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"the item list {path} cannot be read: {error}.") from error
    return _by_frame(dataset, frame, path.name)


def _by_frame(dataset: ClickDataset, frame: pl.DataFrame, source: str) -> Rows:
    if "item_id" in frame.columns:
        return _by_id(dataset, frame["item_id"].drop_nulls(), source)
    columns = [name for name in frame.columns if name in column_names(dataset)]
    if len(columns) != 1:
        raise InputError(
            f"{source} has the columns {', '.join(map(repr, frame.columns))}; it needs item_id, or one side column of "
            f"the items ({', '.join(column_names(dataset)) or 'there is none'}). A .txt file holds one id a line."
        )
    return _by_value(dataset, columns[0], frame[columns[0]].drop_nulls().to_list(), strict=False)


def _mask(dataset: ClickDataset, rows: NDArray[np.integer]) -> Rows:
    mask = np.zeros(dataset.n_rows, np.bool_)
    mask[rows] = True
    return mask
