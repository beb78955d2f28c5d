"""A click log over a catalogue of any size in which every item occurs: what catalogue sizes are compared on.

    python -m pipelines.benchmarks.large_log --items 1000000 --out runs/large/log.parquet

Items stand in series of a few. A user goes through whole series, one after the other, so that all but the first item of
each can be foreseen. Series are drawn by a Zipf law, but for the early ones of the users, which take turns so that none
is left out. The simulator's logs are richer, but where there are more items than it draws, most of them never occur.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write a click log in which every item of a large catalogue occurs."""

    out: Path
    """Parquet file to write, with user_id, item_id, timestamp."""

    items: int = 1_000_000
    """Items, from 0 on; a multiple of length."""

    users: int = 40_000
    """Users."""

    series: int = 13
    """Series that each user goes through."""

    length: int = 4
    """Items of a series."""

    zipf: float = 0.8
    """Exponent of the series' popularity."""

    seed: int = 0
    """Of all draws."""

    def __post_init__(self) -> None:
        if min(self.users, self.series, self.length, self.items) < 1 or self.items % self.length:
            raise InputError(f"items is {self.items}, length {self.length}; items must be a multiple of length.")
        # each user's last series is held out in part
        if self.users * (self.series - 1) * self.length < self.items:
            raise InputError(
                f"{self.users} users with {self.series} series of {self.length} items do not get through {self.items} "
                "items; raise users or series."
            )


def run(config: Config) -> None:
    """Draw and write."""
    import numpy as np
    import polars as pl

    from recsys_bert.files import replacing

    random = np.random.default_rng(config.seed)
    n = config.items // config.length
    shares = np.arange(1, n + 1) ** -config.zipf
    edges = np.cumsum(shares / shares.sum())
    series = np.searchsorted(edges, random.random((config.series, config.users))).clip(max=n - 1)
    series.reshape(-1)[:n] = np.arange(n)  # every series once, in the users' early positions
    series = random.permutation(n)[series]  # an item's number says nothing of its popularity
    items = (series.T[:, :, None] * config.length + np.arange(config.length)).reshape(config.users, -1)
    position = np.broadcast_to(np.arange(items.shape[1]), items.shape)
    user = np.broadcast_to(np.arange(config.users)[:, None], items.shape)
    table = {"user_id": user.reshape(-1), "item_id": items.reshape(-1), "timestamp": position.reshape(-1)}
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(config.out) as temporary:
        pl.DataFrame(table).write_parquet(temporary)


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.large_log"))
