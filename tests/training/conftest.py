"""A model and batches small enough to train in milliseconds."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.settings import make_config
from recsys_bert.training.config import TrainConfig


class Toy(nn.Module):
    """Guesses one of 5 classes from one of 12 rows."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.table, self.dropout, self.linear = nn.Embedding(12, 6), nn.Dropout(dropout), nn.Linear(6, 5)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(self.linear(self.dropout(self.table(batch["x"]))), batch["y"])


class ToyBatches:
    """Batches of the given sizes, each with its number of targets."""

    def __init__(self, sizes: tuple[int, ...] = (4, 3, 5, 2, 4, 1, 3)) -> None:
        self.sizes = sizes

    @property
    def steps(self) -> int:
        return len(self.sizes)

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        for step in range(first_step, self.steps):
            random, n = np.random.default_rng([epoch, step]), self.sizes[step]
            yield {"x": random.integers(0, 12, n), "y": random.integers(0, 5, n), "n_targets": n}


@pytest.fixture
def toy() -> Callable[..., Toy]:
    """Build the model; always the same weights, and the same state of chance after it."""

    def build(dropout: float = 0.3) -> Toy:
        torch.manual_seed(0)
        return Toy(dropout)

    return build


@pytest.fixture
def batches() -> type[ToyBatches]:
    return ToyBatches


@pytest.fixture
def settings() -> Callable[..., TrainConfig]:
    """A quick training on CPU in float32; ``settings(**changes)``."""

    def build(**changes: Any) -> TrainConfig:
        small = {"epochs": 3, "lr": 0.01, "checkpoint_steps": 2, "log_steps": 3, "patience": 0, "monitor": "figure"}
        return make_config(TrainConfig, None, {"device": "cpu", "precision": "fp32", **small, **changes})

    return build


@pytest.fixture
def curve() -> Callable[[Path], list[dict[str, float]]]:
    """Lines of ``metrics.jsonl`` without wall times."""

    def read(run: Path) -> list[dict[str, float]]:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]

    return read
