"""Side features of a tower: categories through an MLP, numbers and vectors through adapters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.adapter import Adapter
from recsys_bert.encoder.embeddings import bag_means
from recsys_bert.errors import InputError
from recsys_bert.objectives.token_prediction import RowFeatures, TrainedRows
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.user_encoder.trained_text import item_numbers

Tables = Mapping[str, NDArray[Any] | TrainedRows]
"""Codes or numbers by row, ``[n_rows, width]``, of each feature."""


@dataclass(frozen=True)
class RoleFeatures:
    """Side features of items or users that a tower reads.

    Args:
        tables: The tables.
        sizes: Number of codes of each categorical one.
        widths: Numbers a row of each dense one.
    """

    tables: Tables
    sizes: Mapping[str, int]
    widths: Mapping[str, int]

    @property
    def n_rows(self) -> int:
        """Rows of the tables; 0 without features."""
        return max((len(table) for table in self.tables.values()), default=0)


class FeatureMlp(nn.Module):
    """Embeds side features, joins them, and maps them to one vector.

    Args:
        sizes: Number of values by feature name.
        dim: Width of each embedding and of the result.
        hidden: Width between.
        dropout: Probability in [0, 1).
    """

    def __init__(self, sizes: Mapping[str, int], dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.names = list(sizes)
        self.tables = nn.ModuleList(nn.EmbeddingBag(max(2, n), dim, mode="mean", padding_idx=0) for n in sizes.values())
        self.mlp = nn.Sequential(
            nn.Linear(dim * len(sizes), hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )
        for weight in self.tables.parameters():
            nn.init.normal_(weight, std=0.1)
            nn.init.zeros_(weight[0])

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """``[n]`` or ``[n, width]`` values by name → ``[n, dim]``."""
        weights: list[Any] = [table.weight for table in self.tables]
        parts = [
            bag_means(features[name].view(features[name].shape[0], -1), weight)
            for name, weight in zip(self.names, weights, strict=True)
        ]
        mixed: Tensor = self.mlp(torch.cat(parts, dim=1))
        return mixed


class SideFeatures(nn.Module):
    """One vector of a row's side features: categories through an MLP, plus each dense feature through its adapter.

    Args:
        features: The features.
        dim: Width of the vector.
        config: Widths and dropout.
    """

    def __init__(self, features: RoleFeatures, dim: int, config: TowersConfig) -> None:
        super().__init__()
        self.tables, self.dense = RowFeatures(features.tables), list(features.widths)
        self.mlp = FeatureMlp(features.sizes, dim, config.hidden, config.dropout) if features.sizes else None
        hidden = config.hidden if config.adapter == "mlp" else None
        self.adapters = nn.ModuleList(Adapter(width, dim, hidden=hidden) for width in features.widths.values())

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors ``[n, dim]`` of rows ``[n]``; 0 for what a row lacks of dense features, and for row -1."""
        known = rows >= 0
        values = self.tables(rows.clamp(min=0)) or {}
        values = {name: value * known.view(-1, *[1] * (value.ndim - 1)) for name, value in values.items()}
        parts = [] if self.mlp is None else [self.mlp(values)]
        parts += [adapter(values[name]) for name, adapter in zip(self.dense, self.adapters, strict=True)]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


def role_features(kind: str, names: tuple[str, ...], dataset: ClickDataset) -> RoleFeatures:
    """Features of a tower by their names, whichever kind they are.

    Args:
        kind: ``item`` or ``user``.
        names: The features.
        dataset: The log.

    Raises:
        InputError: The log has no such feature.
    """
    codes, sizes, dense = (
        (dataset.item_features, dataset.item_feature_sizes, dataset.item_dense)
        if kind == "item"
        else (dataset.user_features, dataset.user_feature_sizes, dataset.user_dense)
    )
    if missing := sorted(set(names) - codes.keys() - dense.keys()):
        known = ", ".join(sorted({*codes, *dense})) or "none"
        raise InputError(
            f"the prepared log has no {kind} feature {missing[0]!r}; it has {known}. Give `prepare` a side table of "
            f"{kind}s, or leave the feature out of towers.{kind}_features."
        )
    return RoleFeatures(
        {name: codes[name] if name in codes else _numbers(kind, name, dataset) for name in names},
        {name: sizes[name] for name in names if name in codes},
        {name: dense[name].width for name in names if name in dense},
    )


def _numbers(kind: str, name: str, dataset: ClickDataset) -> NDArray[Any] | TrainedRows:
    return item_numbers(dataset, name) if kind == "item" else dataset.user_dense[name].values
