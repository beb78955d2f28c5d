"""Fetch a public data set from its publisher and prepare it: ``recsys-bert download ml-1m``."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from recsys_bert.clicks.prepare.config import FilterConfig, SplitConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fetch a public data set from its publisher and prepare it. Without a name: list the sets."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """ml-100k, ml-1m, ml-20m, ml-32m, amazon-beauty or online-retail-ii."""

    out: Path = Path("data")
    """Folder that gets ``<name>/raw`` (as published) and ``<name>/prepared`` (for later stages)."""

    yes: bool = False
    """Accept the licence without a question."""

    prepare: bool = True
    """Prepare the downloaded log."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    """Filters of events."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """Events held out for validation and test."""


def run(config: Config) -> dict[str, Any]:
    """Download, check, unpack and prepare one set.

    Returns:
        The manifest of ``prepare``; empty without ``prepare``.

    Raises:
        InputError: The set is not known, its licence not accepted, or the download or its preparation fails.
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
    sys.stderr.write(f"{config.name} is in {folder / 'raw'}.\n")
    if not config.prepare:
        return {}
    from recsys_bert.stages.prepare import prepare

    dataset = prepare(
        folder / "raw" / source.events,
        items=folder / "raw" / source.items if source.items else None,
        users=folder / "raw" / source.users if source.users else None,
        out=folder / "prepared",
        log=source.log,
        item_features=source.item_features,
        user_features=source.user_features,
        filters=config.filters,
        split=config.split,
    )
    return dataset.manifest.as_dict()
