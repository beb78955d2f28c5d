"""Settings and fixtures for every test."""

import os
from pathlib import Path

import pytest

# before any test module imports torch, faiss or polars: their thread pools read these once
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared_data"):
            item.add_marker(pytest.mark.skip(reason="../shared/data is missing"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public data sets; a test that asks for it carries the mark ``shared_data``."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is missing")
    return SHARED_DATA
