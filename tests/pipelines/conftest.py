"""A simulated log, prepared once for all training pipelines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import prepare
from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate
from recsys_bert.settings import make_config
from recsys_bert.training.config import TrainConfig


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> ClickDataset:
    """200 users, 80 items with categories, some of them cold; leave-one-out."""
    folder = tmp_path_factory.mktemp("simulated")
    world = simulate(
        SimulateConfig(users=200, items=80, categories=3, leaves=2, styles=2, max_events=40, mean_events=14, seed=1)
    )
    for name in ("clicks", "items", "users"):
        getattr(world, name).write_parquet(folder / f"{name}.parquet")
    prepare.run(
        prepare.Config(
            events=str(folder / "clicks.parquet"),
            out=folder / "data",
            items=folder / "items.parquet",
            item_features=SideFeaturesConfig(categorical=("category",)),
            users=folder / "users.parquet",
            user_features=SideFeaturesConfig(categorical=("age_group",)),
        )
    )
    return open_dataset(folder / "data")


@pytest.fixture(scope="session")
def other_vocabulary(simulated: ClickDataset) -> Path:
    """The same clicks prepared with another choice of events, hence other item rows."""
    out = simulated.folder.parent / "other"
    log = LogConfig(event="event", events={"purchase": 1.0})
    prepare.run(prepare.Config(events=str(out.parent / "clicks.parquet"), log=log, out=out))
    return out


@pytest.fixture(scope="session")
def quick() -> Callable[..., TrainConfig]:
    """A training of a few steps; ``quick(**changes)``."""

    def build(**changes: Any) -> TrainConfig:
        small = {"epochs": 2, "batch_size": 32, "lr": 5e-3, "device": "cpu", "precision": "fp32", "log_steps": 3}
        return make_config(TrainConfig, None, {**small, **changes})

    return build


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    """Contents of a folder's files by relative path."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
