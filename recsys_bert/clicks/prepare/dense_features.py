"""Numeric columns and vectors as tables of float32, one row for each item or user."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dense import DenseTable
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.prepare.scaling import LIMIT, Scaling, fit_numbers, fit_vectors
from recsys_bert.clicks.prepare.side_tables import Rows, SideTable
from recsys_bert.clicks.prepare.side_values import numbers
from recsys_bert.clicks.prepare.vectors import Vectors, VectorTable
from recsys_bert.errors import InputError

MANY = 1_000
"""Distinct numbers of a categorical column from which a warning names ``numeric``."""


@dataclass(frozen=True)
class DenseFeature:
    """One feature of numbers.

    Args:
        name: The feature.
        table: Its rows.
        scaling: How they were scaled.
        counts: Counts for the manifest.
    """

    name: str
    table: DenseTable
    scaling: Scaling
    counts: dict[str, Any] = field(default_factory=dict)


def encode_dense(
    rows: Rows,
    side: SideTable | None,
    vectors: Vectors,
    config: SideFeaturesConfig,
    inherited: Mapping[str, pl.Series] | None = None,
) -> list[DenseFeature]:
    """Scale the numeric columns and the vectors of a role.

    Args:
        rows: The rows.
        side: Side table, for numeric columns.
        vectors: Vectors by name.
        config: Settings of the features.
        inherited: Scaling of each feature of the vocabulary that this one grew from, as text; it stays.

    Raises:
        InputError: Text or an infinite number among numbers, or vectors of another width than before.
    """
    scalings = {name: Scaling.of_text(texts[0]) for name, texts in (inherited or {}).items()}
    features = []
    for name in config.numeric if side else ():
        assert side is not None
        features.append(_numeric(rows, side, name, config, scalings.get(name)))
    for name, table in vectors.items():
        features.append(_vectors(rows, table, name, scalings.get(name)))
    return features


def _numeric(
    rows: Rows, side: SideTable, name: str, config: SideFeaturesConfig, inherited: Scaling | None
) -> DenseFeature:
    column, n_bad = numbers(side.table[name], side.title(name), config.bad_numbers, side.missing, side.ids)
    _check_kind(name, inherited, "numeric", 1)
    raw = column.gather(side.rows(rows.ids)).to_numpy()
    has = ~np.isnan(raw)
    scaling = inherited or fit_numbers(raw[has & rows.trained], config.numeric_as)
    scaled = scaling.apply(np.where(has, raw, 0.0))
    n_clipped = int((np.abs(scaled[has]) > LIMIT).sum())
    values = np.where(has, scaled.clip(-LIMIT, LIMIT), 0.0).astype(np.float32)[:, None]
    return _feature(rows, name, values, has, scaling, {"not_numbers": n_bad, "clipped": n_clipped})


def _vectors(rows: Rows, table: VectorTable, name: str, inherited: Scaling | None) -> DenseFeature:
    _check_kind(name, inherited, "vectors", table.width)
    raw, has = table.rows(rows.ids)
    scaling = inherited or fit_vectors(raw[has & rows.trained], table.width)
    counts = {**table.counts, "of_unknown_ids": len(table.ids) - int(has.sum())}
    return _feature(rows, name, raw / np.float32(scaling.std), has, scaling, counts)


def _feature(
    rows: Rows,
    name: str,
    values: NDArray[np.float32],
    has: NDArray[np.bool_],
    scaling: Scaling,
    counts: dict[str, int],
) -> DenseFeature:
    """Feature of all rows, the special ones too, and what the manifest says of it."""
    table = DenseTable(
        np.concatenate([np.zeros((rows.first, values.shape[1]), np.float32), values]),
        np.concatenate([np.zeros(rows.first, np.bool_), has]),
    )
    entry = {
        "kind": scaling.kind,
        "width": scaling.width,
        "rule": scaling.rule,
        "rows_with_a_value": int(has.sum()),
        "rows_without": int((~has).sum()),
        **counts,
        "scaling": scaling.to_text(),
        "sha256": hashlib.sha256(table.values.tobytes() + table.has.tobytes()).hexdigest(),
    }
    return DenseFeature(name, table, scaling, entry)


def _check_kind(name: str, inherited: Scaling | None, kind: str, width: int) -> None:
    if inherited is not None and (inherited.kind, inherited.width) != (kind, width):
        raise InputError(
            f"the feature {name!r} is {kind} of width {width} here, but {inherited.kind} of width {inherited.width} in "
            "the vocabulary that this one grows from. Give the same, or prepare without vocabulary.of."
        )


def warn_of_numbers(side: SideTable, config: SideFeaturesConfig, group: str) -> list[str]:
    """Warnings for categorical columns that hold many distinct numbers, each of which becomes a category."""
    warnings = []
    for name in config.categorical:
        values = side.table[name].drop_nulls().unique()
        if len(values) <= MANY or values.dtype.is_nested():
            continue
        as_numbers = values.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
        if 10 * as_numbers.null_count() < len(values):
            warnings.append(
                f"  WARNING: column {name!r} of {side.name} has {len(values):,} distinct numbers, and each becomes a "
                f"category. If it counts or measures something, name it under {group}.numeric instead of .categorical."
            )
    return warnings
