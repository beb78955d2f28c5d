"""prepare: any click log → a folder of histories, vocabulary, side tables and counts that every later stage opens."""

import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys_bert.clicks.config import FilterConfig, LogConfig, SplitConfig, TableConfig, VocabularyConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of ``recsys-bert prepare``."""

    log: LogConfig
    """The events."""

    out: Path
    """Folder to write; one that prepare made before is replaced."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    """Which events stay."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """What is held out."""

    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    """Which items get a row."""

    items: TableConfig = field(default_factory=TableConfig)
    """Side table of items."""

    users: TableConfig = field(default_factory=TableConfig)
    """Side table of users."""

    json: bool = False
    """Print the manifest as JSON on stdout."""


def run(config: Config) -> dict[str, Any]:
    """Prepare a log.

    Returns:
        The manifest.

    Raises:
        InputError: See ``recsys_bert.clicks.log`` and the other steps; nothing is written then.
    """
    from recsys_bert.clicks.catalogue import build_catalogue
    from recsys_bert.clicks.events import sorted_events
    from recsys_bert.clicks.log import read_log
    from recsys_bert.clicks.manifest import NAME, Manifest
    from recsys_bert.clicks.splits import by_time, leave_one_out, moments
    from recsys_bert.clicks.written import catalogue_table, user_table, write_histories
    from recsys_bert.files import replacing, write_json

    started = time.monotonic()
    with replacing(config.out) as aside, tempfile.TemporaryDirectory(dir=config.out.parent, prefix=".prepare-") as work:
        log = read_log(config.log, Path(work))
        events = sorted_events(log, Path(work))
        cut = moments(events, config.split) if config.split.kind == "time" else None
        borders = by_time(events, *cut) if cut else leave_one_out(events.offsets, config.split)
        catalogue = build_catalogue(events, borders, config.vocabulary)
        aside.mkdir()
        write_histories(events, borders, catalogue, aside / "histories.arrow")
        catalogue.vocabulary.save(aside / "vocabulary.parquet")
        catalogue_table(catalogue).write_parquet(aside / "items.parquet")
        user_table(events).write_parquet(aside / "users.parquet")
        manifest = Manifest(
            fingerprint=catalogue.vocabulary.fingerprint,
            has_times=log.has_time,
            has_weights=log.has_weight,
            counts={
                "users": events.n_users,
                "events": len(events),
                "vocabulary_rows": catalogue.vocabulary.size,
                "catalogue_rows": catalogue.n_rows,
            },
            filters=[],
            split={"kind": config.split.kind, **borders.told},
        )
        write_json(aside / NAME, manifest.as_dict())
    print(f"{config.out}: {time.monotonic() - started:.1f} s", file=sys.stderr)
    return manifest.as_dict()
