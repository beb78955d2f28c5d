"""prepare: any click log → a folder of histories, vocabulary, side tables and counts that every later stage opens."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from recsys_bert.stages.prepare import PrepareConfig, prepare


@dataclass(frozen=True, kw_only=True)
class Config(PrepareConfig):
    """Turn a click log into a folder of histories and vocabulary that every later stage opens."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "events",
        "items",
        "users",
        "json",
        "log.preset",
        "log.format",
        "log.user",
        "log.item",
        "log.time",
        "log.event",
        "log.weight",
        "log.bad_rows",
        "item_features.categorical",
        "item_features.multi",
        "item_features.text",
        "item_features.numeric",
        "item_features.vectors",
        "user_features.categorical",
        "filters.min_user_events",
        "filters.min_item_events",
        "split.kind",
        "split.validation_from",
        "split.test_from",
        "vocabulary.of",
    )

    events: str = ""
    """A file, a folder (all files of one format in it) or a glob such as ``logs/2024-*.parquet``. Needed unless
    log.train and log.test are given."""

    items: Path | None = None
    """Side table of items: Parquet, CSV/TSV, JSON lines, Arrow, MovieLens .dat, RecBole .item/.user, or one JSON
    object id → value(s)."""

    users: Path | None = None
    """Side table of users, in the same formats."""

    out: Path
    """Folder to write; one that prepare made before is replaced."""

    json: bool = False
    """Print the manifest as JSON on stdout."""


def run(config: Config) -> dict[str, Any]:
    """Prepare a log.

    Returns:
        The manifest.

    Raises:
        InputError: The log or the settings cannot be used; nothing is written then.
    """
    dataset = prepare(config.events or None, items=config.items, users=config.users, out=config.out, config=config)
    manifest = dataset.manifest.as_dict()
    if config.json:
        print(json.dumps(manifest, ensure_ascii=False))
    return manifest
