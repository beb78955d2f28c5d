"""Fields of a prepared log's side tables: codes in the flat table, and numbers through adapters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.histories import Ints
from recsys_bert.ctr.config import FeaturesConfig
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.layout import Field, Layout


@dataclass(frozen=True)
class DenseColumn:
    """Numbers of a dense field, looked up batch by batch.

    Args:
        values: float32 ``[n_rows, width]``, 0 where a row has none.
        rows: Row of each impression, -1 for none; ``[n]``.
    """

    values: NDArray[np.float32]
    rows: NDArray[Any]

    def of(self, impressions: Any) -> NDArray[np.float32]:
        """Numbers ``[batch, width]`` of impressions, an index array or a slice."""
        rows = self.rows[impressions]
        return np.where((rows >= 0)[:, None], self.values[rows], np.float32(0))


def side_fields(dataset: ClickDataset, config: FeaturesConfig) -> list[Field]:
    """Fields of the prepared log's side tables, dense ones last."""
    fields = []
    for enabled, kind, codes, sizes in (
        (config.item_side, "item", dataset.item_features, dataset.item_feature_sizes),
        (config.user_side, "user", dataset.user_features, dataset.user_feature_sizes),
    ):
        for name, values in codes.items() if enabled else ():
            width = values.shape[1]
            fields.append(Field(f"{kind}.{name}", "multi" if width > 1 else "categorical", sizes[name], width))
    for enabled, kind, tables in (
        (config.item_side, "item", dataset.item_dense),
        (config.user_side, "user", dataset.user_dense),
    ):
        fields += [Field(f"{kind}.{name}", "dense", 0, table.width) for name, table in tables.items() if enabled]
    return fields


def full_layout(features: Features, config: FeaturesConfig, dataset: ClickDataset | None) -> Layout:
    """Fields of the impressions' columns, then those of the side tables."""
    return Layout((*features.layout.fields, *([] if dataset is None else side_fields(dataset, config))))


def side_ids(
    dataset: ClickDataset, layout: Layout, first: int, users: Ints, targets: NDArray[np.int32]
) -> list[NDArray[np.int32]]:
    """Rows of the flat table for every side field, ``[n, width]`` each."""
    columns = []
    for field, offset in list(zip(layout.fields, layout.offsets, strict=True))[first:]:
        if field.kind == "dense":
            continue
        kind, _, name = field.name.partition(".")
        if kind == "item":
            codes = dataset.item_features[name][targets].astype(np.int32)
        else:
            codes = np.where((users >= 0)[:, None], dataset.user_features[name][users], 0).astype(np.int32)
        if field.kind == "multi":
            ids = np.where(codes > 0, codes + offset, 0)
            ids[(codes == 0).all(1), 0] = offset  # no known value is a value of its own
        else:
            ids = codes + offset
        columns.append(ids.astype(np.int32))
    return columns


def dense_columns(
    dataset: ClickDataset, layout: Layout, users: Ints, targets: NDArray[np.int32]
) -> dict[str, DenseColumn]:
    """Numbers of the dense fields of impressions.

    Args:
        dataset: The log.
        layout: All fields.
        users: Row of each user, -1 for one that the log lacks.
        targets: Row of each target item.
    """
    columns = {}
    for field in layout.dense:
        kind, _, name = field.name.partition(".")
        tables, rows = (dataset.item_dense, targets) if kind == "item" else (dataset.user_dense, users)
        columns[field.name] = DenseColumn(tables[name].values, rows)
    return columns
