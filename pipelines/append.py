"""append: today's events into a prepared folder, without reading the old log again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_bert.stages.append import AppendConfig, append


@dataclass(frozen=True, kw_only=True)
class Config(AppendConfig):
    """Append today's events to a prepared folder; its items and users keep their rows."""

    data: Path
    """Folder that `prepare` wrote; its settings hold for the new events, too."""

    events: str
    """A file, a folder or a glob of new events."""

    items: Path | None = None
    """Side table with new items; rows of items that are there already are replaced."""

    users: Path | None = None
    """Side table with new users, likewise."""

    out: Path | None = None
    """Folder to write. None replaces ``data``, as a whole: it is never half new."""

    json: bool = False
    """Print the manifest as JSON on stdout."""


def run(config: Config) -> dict[str, Any]:
    """Append.

    Returns:
        The manifest.

    Raises:
        InputError: The events cannot be used, or the folder's filters do not allow it; nothing is written then.
    """
    dataset = append(config.data, config.events, items=config.items, users=config.users, out=config.out, config=config)
    manifest = dataset.manifest.as_dict()
    if config.json:
        print(json.dumps(manifest, ensure_ascii=False))
    return manifest
