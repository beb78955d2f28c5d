"""A small prepared log with side tables and cold items, and encoders for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pipelines.prepare import Config, run
from recsys_bert.clicks.dataset import Prepared, open_prepared
from recsys_bert.clicks.prepare.config import LogConfig, TableConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder

N_ITEMS, N_COLD = 30, 4


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories are encoded in float32 on machines that have bf16, too, and can be compared closely."""
    monkeypatch.setattr("recsys_bert.user_encoder.encode.uses_bf16", lambda *_: False)


@pytest.fixture(scope="session")
def side_log(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """40 users of 4 to 25 events over 30 items; kinds and tags of 34 items, ages of users."""
    folder, random = tmp_path_factory.mktemp("side"), np.random.default_rng(0)
    events = [
        (user, int(item), 1_000 * place)
        for user in range(40)
        for place, item in enumerate(random.permutation(N_ITEMS)[: random.integers(4, 26)])
    ]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(folder / "log.parquet")
    everything = range(N_ITEMS + N_COLD)
    pl.DataFrame(
        {
            "item_id": everything,
            "kind": [f"kind {n % 5}" for n in everything],
            "tags": ["|".join(f"tag {n % m}" for m in (2, 3)) for n in everything],
        }
    ).write_parquet(folder / "items.parquet")
    pl.DataFrame({"user_id": range(40), "age": ["old", "young"] * 20}).write_parquet(folder / "users.parquet")
    run(
        Config(
            log=LogConfig(path=str(folder / "log.parquet")),
            out=folder / "data",
            items=TableConfig(path=folder / "items.parquet", categorical=("kind",), multi=("tags",)),
            users=TableConfig(path=folder / "users.parquet", categorical=("age",)),
        )
    )
    return open_prepared(folder / "data")


@pytest.fixture
def encoder(side_log: Prepared) -> Callable[..., Encoder]:
    """Build an encoder with weights large enough to tell inputs apart: ``encoder(**settings)``."""

    def build(**settings: Any) -> Encoder:
        torch.manual_seed(0)
        small = {"vocab_size": side_log.vocabulary.size, "dim": 16, "n_layers": 1, "max_len": 12, "init_std": 0.3}
        return Encoder(EncoderConfig(**{**small, "causal": True, **settings}))

    return build
