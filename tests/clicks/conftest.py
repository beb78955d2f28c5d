"""Logs from a few lines of Python to a prepared folder, through the real pipeline."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.events import Events, sorted_events
from recsys_bert.clicks.prepare.log import read_log
from recsys_bert.clicks.prepare.sources import open_source
from recsys_bert.stages.prepare import prepare as prepare_log

Rows = Sequence[tuple[Any, ...]]


def write_log(path: Path, rows: Rows, columns: Sequence[str] = ("user_id", "item_id", "timestamp")) -> Path:
    pl.DataFrame(rows, schema=list(columns)[: len(rows[0])], orient="row").write_parquet(path)
    return path


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., ClickDataset]:
    """``prepare(rows or path, log=…, **settings)``; rows are (user, item, time) tuples."""

    def make(
        log: Rows | Path, out: str = "out", log_options: dict[str, Any] | None = None, **parts: Any
    ) -> ClickDataset:
        path = log if isinstance(log, Path) else write_log(tmp_path / "log.parquet", log)
        return prepare_log(path, out=tmp_path / out, log=LogConfig(**(log_options or {})), **parts)

    return make


@pytest.fixture
def sort(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Events]:
    """Sorted events of (user, item, time) tuples."""

    def make(rows: Rows, **options: Any) -> Events:
        folder = tmp_path_factory.mktemp("events")
        path = write_log(folder / "log.parquet", rows)
        work = folder / "work"
        work.mkdir()
        return sorted_events(read_log(open_source(path, "events"), LogConfig(**options), work), work)

    return make
