"""Settings and fixtures for every test."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.encoder.model import Encoder

# before any test module imports torch, faiss or polars: their thread pools read these once
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
TOGETHER = ("tests/contracts/test_store", "tests/faults/", "tests/pipelines/serving/")
"""Beginnings of the paths of files whose dear fixtures are made in one process, by ``--dist loadfile``."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared_data"):
            item.add_marker(pytest.mark.skip(reason="../shared/data is missing"))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives to the end: the libraries and thousands of cases."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadFileScheduling | None":
    """Give one process the files whose dear fixtures are the same, as the tests of one file."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((one for one in TOGETHER if nodeid.startswith(one)), super()._split_scope(nodeid))

    return Together(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Wait for no disk: the power does not fail in a test, and its thousands of tiny files would wait for longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public data sets; a test that asks for it carries the mark ``shared_data``."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is missing")
    return SHARED_DATA


@pytest.fixture(scope="session")
def side_log(tmp_path_factory: pytest.TempPathFactory) -> "ClickDataset":
    """40 users of 4 to 25 events over 30 items; kinds and tags of 34 items, ages of users."""
    import numpy as np
    import polars as pl

    from pipelines.prepare import Config, run
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig

    folder, random = tmp_path_factory.mktemp("side"), np.random.default_rng(0)
    events = [
        (user, int(item), 1_000 * place)
        for user in range(40)
        for place, item in enumerate(random.permutation(30)[: random.integers(4, 26)])
    ]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(folder / "log.parquet")
    everything = range(30 + 4)
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
            events=str(folder / "log.parquet"),
            out=folder / "data",
            items=folder / "items.parquet",
            item_features=SideFeaturesConfig(categorical=("kind",), multi=("tags",)),
            users=folder / "users.parquet",
            user_features=SideFeaturesConfig(categorical=("age",)),
        )
    )
    return open_dataset(folder / "data")


@pytest.fixture
def encoder(side_log: "ClickDataset") -> "Callable[..., Encoder]":
    """Build an encoder with weights large enough to tell inputs apart: ``encoder(**settings)``."""

    import torch

    from recsys_bert.encoder.config import EncoderConfig
    from recsys_bert.encoder.model import Encoder

    def build(**settings: Any) -> Encoder:
        torch.manual_seed(0)
        small = {"vocab_size": side_log.vocabulary.size, "dim": 16, "n_layers": 1, "max_len": 12, "init_std": 0.3}
        return Encoder(EncoderConfig(**{**small, "attention": "causal", **settings}))

    return build
