"""A tiny prepared click log, the impressions beside it, and an encoder for it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines import prepare
from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig


@pytest.fixture(scope="session")
def click_log() -> pl.DataFrame:
    """Twelve users who click every ten seconds; several events share a second."""
    random = np.random.default_rng(0)
    users = np.repeat(np.arange(12), 20)
    times = 1_000_000 + 10 * random.integers(0, 60, len(users))
    return pl.DataFrame({"user_id": users, "item_id": random.integers(100, 115, len(users)), "timestamp": times})


@pytest.fixture(scope="session")
def dataset(click_log: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> ClickDataset:
    """The log cut by time, with item genres (multi-valued) and user ages."""
    folder = tmp_path_factory.mktemp("prepared")
    click_log.write_parquet(folder / "log.parquet")
    items = pl.DataFrame(
        {
            "item_id": range(100, 118),
            "genre": ["a|b" if n % 3 else "" for n in range(18)],
            "year": [1990 + n % 4 for n in range(18)],
        }
    )
    items.write_parquet(folder / "items.parquet")
    pl.DataFrame({"user_id": range(12), "age": ["old", "young"] * 6}).write_parquet(folder / "users.parquet")
    prepare.run(
        prepare.Config(
            events=str(folder / "log.parquet"),
            out=folder / "data",
            split=SplitConfig(kind="time"),
            items=folder / "items.parquet",
            item_features=SideFeaturesConfig(multi=("genre",), categorical=("year",)),
            users=folder / "users.parquet",
            user_features=SideFeaturesConfig(categorical=("age",)),
        )
    )
    return open_dataset(folder / "data")


@pytest.fixture
def impressions(tmp_path: Path) -> Path:
    """Impressions whose click follows from the device, over the same ten minutes."""
    random = np.random.default_rng(1)
    n = 400
    device = random.choice(["phone", "desktop"], n)
    frame = pl.DataFrame(
        {
            "user_id": random.integers(0, 14, n),  # users 12 and 13 are not in the click log
            "item_id": random.integers(100, 119, n),  # items 115 to 117 are cold, 118 is in no table
            "timestamp": 1_000_000 + random.integers(0, 600, n),
            "device": device,
            "price": np.where(random.random(n) < 0.1, np.nan, random.normal(5, 2, n)),
            "tags": random.choice(["x y", "y", "", "x z w"], n),
            "rating": np.where((device == "phone") ^ (random.random(n) < 0.1), 5, 2),
        }
    )
    path = tmp_path / "impressions.parquet"
    frame.write_parquet(path)
    return path
