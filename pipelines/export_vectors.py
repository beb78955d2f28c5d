"""Export a run's vectors of items and users with their ids."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.support.outputs import check_place
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write the vectors of items and users; the inner product of a user's and an item's is the score of the model.

    What a score fusion adds from counts is no vector and is not in them.
    """

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    out: Path
    """Folder for the files; those of an earlier export are replaced."""

    format: Literal["parquet", "npy"] = "parquet"
    """parquet: items.parquet and users.parquet with an id and a vector; npy: items.npy with items_ids.csv, users.npy
    with users_ids.csv, in the same order."""

    items: bool = True
    """Write those of items."""

    users: bool = True
    """Write those of users with events, by their full histories."""

    json: bool = False
    """Print names and sizes of the files as JSON on stdout."""

    def __post_init__(self) -> None:
        if not self.items and not self.users:
            raise InputError("neither items nor users are to be exported; leave out --no-items or --no-users.")
        check_place(self.out, folder=True)


def run(config: Config) -> dict[str, Any]:
    """Encode and write.

    Returns:
        Bytes by file.

    Raises:
        InputError: A run and a log that do not belong together, or a folder that cannot be written.
    """
    from recsys_bert.retrieval.recommender import Recommender

    recommender = Recommender.load(config.run, config.data)
    files = recommender.export_vectors(config.out, users=config.users, items=config.items, form=config.format)
    sizes = {file.name: file.stat().st_size for file in files}
    for name, size in sizes.items():
        print(f"{config.out / name}: {size / 2**20:,.1f} MiB", file=sys.stderr)
    if config.json:
        print(json.dumps(sizes))
    return sizes
