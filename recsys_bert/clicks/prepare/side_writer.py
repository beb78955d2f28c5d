"""Side data of items and of users in a prepared folder: their table, codes and numbers, and the items' words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_bert.clicks.dense import save_dense
from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.item_words import item_texts, text_counts
from recsys_bert.clicks.lineage import DENSE, Values
from recsys_bert.clicks.prepare.catalogue import Catalogue
from recsys_bert.clicks.prepare.dense_features import DenseFeature, encode_dense
from recsys_bert.clicks.prepare.events import chunks
from recsys_bert.clicks.prepare.side_tables import Feature, Rows, SideTable, encode, save_features, text_columns
from recsys_bert.clicks.prepare.vectors import Side

OWN_COLUMNS = {"items": ("item_row", "item_id", "count"), "users": ("user_row", "user_id")}
"""Columns of ``items.parquet`` and of ``users.parquet`` that are not the side table's."""


@dataclass(frozen=True)
class WrittenSide:
    """Side data of a role, as written.

    Args:
        table: Its rows with the side table's columns.
        features: Encoded columns.
        dense: Numbers and vectors.
    """

    table: pl.DataFrame
    features: list[Feature]
    dense: list[DenseFeature]


def write_side(folder: Path, role: str, table: pl.DataFrame, rows: Rows, side: Side, inherited: Values) -> WrittenSide:
    """Encode side data for the rows of a role, and write it.

    Args:
        folder: The prepared folder.
        role: ``items`` or ``users``.
        table: The rows, without side data.
        rows: Their ids in the side data.
        side: The side data.
        inherited: Values of the vocabulary that this one grew from.
    """
    features = encode(side.table, side.config, rows, inherited.get(role)) if side.table else []
    dense = encode_dense(rows, side.table, side.vectors, side.config, inherited.get(DENSE[role]))
    joined = _joined(table, rows.ids, side.table)
    joined.write_parquet(folder / f"{role}.parquet")
    save_features(features, folder / f"{role.removesuffix('s')}_features")
    save_dense([one.table for one in dense], folder / DENSE[role])
    return WrittenSide(joined, features, dense)


def text_entry(items: pl.DataFrame, side: Side, histories: Histories, catalogue: Catalogue) -> dict[str, Any]:
    """Entry of the manifest: the text columns of ``items.parquet``, and counts; empty without words."""
    table = side.table
    if table is None or not (names := text_columns(side.config)):
        return {}
    columns = [stored_name(name, OWN_COLUMNS["items"]) for name in names]
    n_events = np.zeros(catalogue.n_rows, np.int64)
    for _, part in chunks(histories.offsets):
        n_events += np.bincount(histories.items[part], minlength=catalogue.n_rows)
    in_table = table.rows(items["item_id"]).is_not_null().to_numpy()
    texts = item_texts(items, columns, table.missing)
    counts = text_counts(texts, in_table, n_events[catalogue.vocabulary.first_item :])
    return {"columns": columns, "missing": list(table.missing), **counts}


def stored_name(name: str, reserved: Sequence[str]) -> str:
    """Name of a side table's column beside those of ours."""
    return f"{name}_side" if name in reserved else name


def own_name(name: str, reserved: Sequence[str]) -> str:
    """Name of a stored column in its side table; undoes ``stored_name``."""
    own = name.removesuffix("_side")
    return own if own in reserved else name


def _joined(table: pl.DataFrame, ids: pl.Series, side: SideTable | None) -> pl.DataFrame:
    if side is None:
        return table
    columns = side.table.select(pl.all().gather(side.rows(ids)))
    renamed = {name: stored_name(name, table.columns) for name in columns.columns}
    return pl.concat([table, columns.rename(renamed)], how="horizontal")
