"""Side tables of items and users, and their columns as integer features."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.item_words import check_text_column
from recsys_bert.clicks.lineage import FIRST_VALUE, UNKNOWN_VALUE
from recsys_bert.clicks.prepare.features_config import ItemFeaturesConfig, SideFeaturesConfig
from recsys_bert.clicks.prepare.ids import index_in, integer_ids, present, text_ids
from recsys_bert.clicks.prepare.marks import LINE, RAGGED
from recsys_bert.clicks.prepare.side_values import numbers, value_texts
from recsys_bert.clicks.prepare.sources import TableSource, ragged_rows, whole_table
from recsys_bert.clicks.prepare.table_config import TableConfig
from recsys_bert.errors import InputError

_SAMPLE = 1_000


@dataclass(frozen=True)
class SideTable:
    """A side table with one row per id.

    Args:
        ids: Id of each row, of the log's type.
        table: The other columns, unchanged.
        counts: Counts for the manifest.
        name: Name in messages.
        missing: Words for a missing value.
        note: A warning for the user, if the table joins nothing.
    """

    ids: pl.Series
    table: pl.DataFrame
    counts: dict[str, int]
    name: str = "the side table"
    missing: tuple[str, ...] = ()
    note: str | None = None

    def title(self, column: str) -> str:
        """Name of a column in messages."""
        return f"column {column!r} of {self.name}"

    def rows(self, ids: pl.Series) -> pl.Series:
        """Row of each id in the table; null if it has none."""
        return index_in(ids, self.ids)


@dataclass(frozen=True)
class Rows:
    """Rows that get values.

    Args:
        ids: Id of each.
        trained: True on rows with a training event; scales are fitted on them, and their values get codes.
        first: Special rows before these, without values.
    """

    ids: pl.Series
    trained: NDArray[np.bool_]
    first: int = 0


def read_side(
    source: TableSource | None,
    config: SideFeaturesConfig,
    reading: TableConfig,
    log_name: str,
    log_ids: pl.Series,
    role: str,
) -> SideTable | None:
    """Read a side table; the first row of an id wins, and further ones are counted.

    Args:
        source: The table, if there is one.
        config: Which columns are read.
        reading: How its files are read.
        log_name: Id column of the log.
        log_ids: Ids of the log, each once.
        role: ``item`` or ``user``, for messages.

    Raises:
        InputError: The table, a row, a column or the ids cannot be used.
    """
    group = f"{role}_features"
    config.check_read(group, source is not None)
    if source is None:
        if reading != TableConfig():
            raise InputError(
                f"{role}_table says how a table of {role}s is read, but there is none. Pass it as {role}s."
            )
        return None
    table, n_ragged = _read(source, config, reading, log_name, f"{role}_table")
    name = config.id or (log_name if log_name in table.columns else table.columns[0])
    choose = f"Choose another with {source.setting(group, 'id', 'NAME')}"
    _check_columns(table, name, source, config, reading, role, choose)
    ids = as_log_ids(table[name], log_ids.dtype, reading.missing)
    if table.height and ids.null_count() == table.height:
        sort = "text" if log_ids.dtype == pl.String else "integers"
        raise InputError(f"no id in column {name!r} of {source.name} is of the log's type ({sort}). {choose}.")
    first = (ids.is_not_null() & ids.is_first_distinct()).rename("first")
    unique = ids.filter(first)
    in_log = int(unique.is_in(log_ids.implode()).sum())
    counts = {
        "rows": table.height + n_ragged,
        "ragged": n_ragged,
        "without_usable_id": ids.null_count(),
        "repeated_id": table.height - ids.null_count() - len(unique),
        "ids_in_log": in_log,
    }
    note = None
    if len(unique) and not in_log:
        note = (
            f"  WARNING: no id of {source.name} is in the log: column {name!r} has ids such as {unique[0]!r}, the log "
            f"{log_ids[0]!r}. Its columns are empty. {choose}."
        )
    return SideTable(unique, table.drop(name).filter(first), counts, source.name, reading.missing, note)


def _check_columns(
    table: pl.DataFrame,
    name: str,
    source: TableSource,
    config: SideFeaturesConfig,
    reading: TableConfig,
    role: str,
    choose: str,
) -> None:
    """Refuse columns that are missing, and ids and values that cannot be read, before the log is sorted."""
    missing = [column for column in (name, *config.columns) if column not in table.columns]
    if missing:
        columns = ", ".join(map(repr, table.columns))
        hint = source.separator_hint(table.columns)
        raise InputError(
            f"{source.name} has no column {missing[0]!r}; it has {columns}.{hint} See {role}_features.id, "
            f".categorical, .multi, .numeric, .vectors{' and .text' if role == 'item' else ''}; {role}_table says how "
            "files are read."
        )
    if table[name].dtype.is_nested():
        raise InputError(f"no id in column {name!r} of {source.name}: it holds lists. {choose}.")
    if name in config.columns:
        raise InputError(f"column {name!r} of {source.name} holds the ids, which are no feature; leave it out.")
    for column in config.categorical + config.multi:
        separator = config.separator if column in config.multi else None
        value_texts(table[column].head(_SAMPLE), f"column {column!r} of {source.name}", separator, reading.missing)
    for column in config.numeric:
        title = f"column {column!r} of {source.name}"
        numbers(table[column], title, config.bad_numbers, reading.missing, table[name])
    for column in text_columns(config):
        check_text_column(table[column], f"column {column!r} of {source.name}")


def text_columns(config: SideFeaturesConfig) -> tuple[str, ...]:
    """Columns that are an item's words; none for users."""
    return config.text if isinstance(config, ItemFeaturesConfig) else ()


def as_log_ids(ids: pl.Series, kind: pl.DataType, missing: tuple[str, ...]) -> pl.Series:
    """Ids in the log's type; null where they are missing or cannot be in the log.

    Raises:
        InputError: They are neither numbers nor text.
    """
    if ids.dtype in (pl.Categorical, pl.Enum):
        ids = ids.cast(pl.String)
    if not (ids.dtype == pl.String or ids.dtype.is_numeric() or ids.dtype == pl.Null):
        raise InputError(f"column {ids.name!r} is of type {ids.dtype}; ids are integers or text. Convert it first.")
    column = pl.col("id")
    if ids.dtype == pl.String:
        column = present(column, missing)
    as_kind = text_ids(column, ids.dtype) if kind == pl.String else integer_ids(column, ids.dtype)
    return ids.rename("id").to_frame().select(as_kind.alias(ids.name))[ids.name]


def _read(
    source: TableSource, config: SideFeaturesConfig, reading: TableConfig, log_name: str, group: str
) -> tuple[pl.DataFrame, int]:
    """The columns, and the number of rows that were dropped for their width."""
    mapping = source.json_object()
    if mapping is not None and (config.id or log_name) not in mapping:
        name = config.columns[0] if config.columns else "value"
        return pl.DataFrame({config.id or log_name: list(mapping), name: list(mapping.values())}), 0
    try:
        parts = source.parts()
        table = whole_table(parts).collect()
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise source.unreadable(error) from error
    n_ragged = int(table[RAGGED].sum() or 0) if RAGGED in table.columns else 0
    if n_ragged and reading.bad_rows == "error":
        raise ragged_rows(source, parts, n_ragged, group)
    if n_ragged:
        table = table.filter(pl.col(RAGGED).fill_null(False).not_())
    return table.drop(RAGGED, LINE, strict=False), n_ragged


@dataclass(frozen=True)
class Feature:
    """One encoded column.

    Args:
        name: The column.
        codes: ``[n_rows, width]``; 0 none, 1 a value of no trained row, then values by decreasing frequency.
        values: Text of codes 2, 3, ….
        counts: Counts for the manifest; ``size`` is the number of codes.
        n_inherited: Values of the vocabulary that this one grew from, which come first.
    """

    name: str
    codes: NDArray[np.int32]
    values: pl.Series
    counts: dict[str, Any] = field(default_factory=dict)
    n_inherited: int = 0


def encode(
    side: SideTable,
    config: SideFeaturesConfig,
    rows: Rows,
    inherited: Mapping[str, pl.Series] | None = None,
) -> list[Feature]:
    """Encode the configured columns.

    Args:
        side: The table.
        config: Columns that become features.
        rows: The rows; only values of trained ones get codes.
        inherited: Values of each feature that keep their codes; new ones follow.
    """
    side_rows, n_rows = side.rows(rows.ids), rows.first + len(rows.ids)
    known = side_rows.is_not_null()
    of_side = pl.DataFrame({"row": np.arange(rows.first, n_rows), "trained": rows.trained}).filter(known)
    side_rows = side_rows.filter(known)
    features = []
    for name in config.categorical + config.multi:
        multi = name in config.multi
        separator = config.separator if multi else None
        texts = value_texts(side.table[name].gather(side_rows), side.title(name), separator, side.missing)
        pairs = _pairs(of_side, texts, side.missing)
        values = (inherited or {}).get(name, pl.Series(dtype=pl.String))
        features.append(_feature(pairs, name, n_rows, config.max_values if multi else 1, multi, values))
    return features


def _pairs(rows: pl.DataFrame, values: pl.Series, missing: tuple[str, ...]) -> pl.DataFrame:
    """(row, trained, value) of every value of every row, each value once per row."""
    pairs = rows.with_columns(values.alias("value"))
    if values.dtype == pl.List:
        pairs = pairs.explode("value", empty_as_null=True)
        pairs = pairs.with_columns(present(pl.col("value").str.strip_chars(), missing).alias("value"))
    return pairs.filter(pl.col("value").is_not_null()).unique(maintain_order=True)


def _feature(
    pairs: pl.DataFrame, name: str, n_rows: int, max_values: int, multi: bool, inherited: pl.Series
) -> Feature:
    pairs = pairs.with_columns(index=pl.int_range(pl.len()).over("row"))
    within = pairs.filter(pl.col("index") < max_values)
    values = within.filter("trained").group_by("value").len().sort("len", "value", descending=[True, False])["value"]
    known = pl.concat([inherited.cast(pl.String), values.filter(~values.is_in(inherited.implode()))]).rename("value")
    table = pl.DataFrame({"value": known, "code": np.arange(FIRST_VALUE, FIRST_VALUE + len(known), dtype=np.int32)})
    within = within.join(table, on="value", how="left", maintain_order="left")
    within = within.with_columns(pl.col("code").fill_null(UNKNOWN_VALUE))
    width = max(2, int(within["index"].max() or 0) + 1) if multi else 1  # type: ignore[arg-type]
    codes = np.zeros((n_rows, width), np.int32)
    codes[within["row"].to_numpy(), within["index"].to_numpy()] = within["code"].to_numpy()
    counts = {
        "size": FIRST_VALUE + len(known),
        "width": width,
        "multi": multi,
        "rows_with_a_value": within["row"].n_unique(),
        "values_unknown_in_training": within.filter(pl.col("code") == UNKNOWN_VALUE)["value"].n_unique(),
        "rows_cut_to_max_values": pairs.filter(pl.col("index") >= max_values)["row"].n_unique(),
    }
    return Feature(name, codes, known, counts, len(inherited))


def save_features(features: list[Feature], folder: Path) -> None:
    """Write codes as ``0.npy``, ``1.npy`` … and their values as ``values.parquet`` (feature, code, value)."""
    folder.mkdir()
    for number, feature in enumerate(features):
        np.save(folder / f"{number}.npy", feature.codes)
    parts = [
        pl.DataFrame(
            {
                "code": np.arange(FIRST_VALUE, FIRST_VALUE + len(one.values), dtype=np.int32),
                "value": one.values.cast(pl.String),
            }
        ).insert_column(0, pl.lit(one.name).alias("feature"))
        for one in features
    ]
    if parts:
        pl.concat(parts).write_parquet(folder / "values.parquet")
