"""Fetch a public data set from its publisher and prepare it: ``recsys-bert download ml-1m``."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from recsys_bert.clicks.prepare.config import FilterConfig, SplitConfig, TableConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fetch a public data set from its publisher and prepare it. Without a name: list what there is."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """ml-100k, ml-1m, ml-20m, ml-32m or amazon-beauty."""

    out: Path = Path("data")
    """Folder that gets ``<name>/raw`` (as published) and ``<name>/dataset`` (what later stages open)."""

    yes: bool = False
    """Accept the licence without being asked."""

    prepare: bool = True
    """Go on to ``prepare``."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    """Which events stay."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """What is held out."""


def run(config: Config) -> dict[str, Any]:
    """Download, check, unpack and prepare one set.

    Returns:
        The manifest of ``prepare``; empty where that was not asked for.

    Raises:
        InputError: The set is not known, its licence not accepted, or something fails on the way.
    """
    from recsys_bert.clicks.download import accept_licence, fetch, unpack
    from recsys_bert.clicks.download_sources import SOURCES
    from recsys_bert.errors import unknown_name

    if not config.name:
        print("\n".join(f"{name:<14} {source.about}" for name, source in SOURCES.items()))
        return {}
    if config.name not in SOURCES:
        raise unknown_name("data set", config.name, SOURCES)
    source = SOURCES[config.name]
    folder = config.out / config.name
    accept_licence(config.name, source, folder, yes=config.yes)
    archive = fetch(source, folder / "download" if source.members else folder / "raw")
    if source.members:
        unpack(source, archive, folder / "raw")
    sys.stderr.write(f"{config.name} lies in {folder / 'raw'}.\n")
    if not config.prepare:
        return {}
    from pipelines import prepare

    raw = folder / "raw"
    return prepare.run(
        prepare.Config(
            log=replace(source.log, path=str(raw / source.log.path)),
            items=_inside(raw, source.items),
            users=_inside(raw, source.users),
            filters=config.filters,
            split=config.split,
            out=folder / "prepared",
        )
    )


def _inside(folder: Path, table: TableConfig) -> TableConfig:
    return table if table.path is None else replace(table, path=folder / table.path)
