"""A click log with known probabilities: the demo's data, the tests' oracle, and logs of any size.

Users click their way through a tree of categories. Interests follow the user's own earlier clicks and so drift;
taste in styles changes more slowly and cuts across categories; within a session the next click stays near the last
one; popularity is Zipf's. No user clicks an item twice. ``SimulateConfig`` describes every number.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.impressions import TASKS, draw_impressions
from recsys_bert.clicks.simulation.oracle import best_auc, next_item_probabilities
from recsys_bert.clicks.simulation.process import Block, Longs, blocks
from recsys_bert.clicks.simulation.truth import best_recall, truth_summary, truth_table
from recsys_bert.clicks.simulation.vectors import simulated_vectors
from recsys_bert.clicks.simulation.world import AGE_GROUPS, COUNTRIES, Floats, Ints, World, item_table, make_world
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.progress import Progress

__all__ = [
    "SimulateConfig",
    "Simulation",
    "best_auc",
    "best_recall",
    "simulate",
    "simulated_vectors",
    "write_simulation",
]

_TRUTH_NUMBERS = 200_000_000


@dataclass(frozen=True)
class Simulation:
    """A whole log in memory; events in the order of time.

    Attributes:
        config: What was asked for.
        world: What stays fixed: popularity, tree, likes of groups.
        clicks: ``user_id, item_id, timestamp`` (Unix seconds), ``event`` (click or purchase).
        items: ``item_id, title, category, category_path, tags, price``.
        users: ``user_id, age_group, country``.
        impressions: ``user_id, item_id, timestamp, device, position`` and labels; see ``draw_impressions``.
        truth: ``user_id, split, event, item_id, best_items, probabilities``; see ``truth_table``.
    """

    config: SimulateConfig
    world: World
    clicks: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    impressions: pl.DataFrame
    truth: pl.DataFrame
    past: Ints = field(repr=False)
    """``[users, longest]`` item indices of every user by ``user_id``, oldest first, right-padded with -1."""

    lengths: Longs = field(repr=False)
    """``[users]`` clicks of each."""

    group: Ints = field(repr=False)
    """``[users]`` index of each age group."""

    def next_item_probabilities(self, user_ids: list[int], held_out: int = 1) -> Floats:
        """Probabilities of each user's click after all but the last ``held_out``.

        Knows the age group and the earlier clicks, nothing hidden, and not whether a session begins.

        Args:
            user_ids: Users of this log; keep them few where there are many items.
            held_out: Clicks to leave out; 1 asks for leave-one-out's test target, 2 for its validation target, 0 for
                the click after the whole log.

        Returns:
            ``[users, items]``, column i for ``item_id`` i + 1; rows sum to 1 and clicked items have 0.

        Raises:
            InputError: An unknown user, or one with fewer than ``held_out`` clicks.
        """
        rows = np.asarray(user_ids, np.int64) - 1
        if rows.size and not (rows.min() >= 0 and rows.max() < self.lengths.size):
            raise InputError(
                f"users {min(user_ids)} to {max(user_ids)} were requested; the log has 1 to {self.lengths.size}."
            )
        if rows.size and self.lengths[rows].min() < held_out:
            raise InputError(f"a user has {self.lengths[rows].min()} clicks, fewer than the {held_out} held out.")
        return next_item_probabilities(self.world, self.past[rows], self.lengths[rows] - held_out, self.group[rows])


def simulate(config: SimulateConfig) -> Simulation:
    """Draw a log into memory, with the oracle's answer for every user."""
    world = make_world(config)
    all_blocks = list(blocks(world))
    order = np.argsort(np.concatenate([block.user for block in all_blocks]))
    longest = max(block.items.shape[1] for block in all_blocks)
    past = [
        np.pad(block.items, ((0, 0), (0, longest - block.items.shape[1])), constant_values=-1) for block in all_blocks
    ]
    return Simulation(
        config=config,
        world=world,
        items=item_table(world),
        truth=_truth(world, all_blocks, config.users),
        past=np.concatenate(past)[order],
        lengths=np.concatenate([block.lengths for block in all_blocks])[order],
        group=np.concatenate([block.group for block in all_blocks])[order],
        **_tables(world, all_blocks),
    )


def _tables(world: World, drawn_blocks: list[Block]) -> dict[str, pl.DataFrame]:
    """Build clicks, users and impressions of some blocks, in order."""
    in_time = ["timestamp", "user_id"]
    impressions = pl.concat([draw_impressions(world, block) for block in drawn_blocks])
    return {
        "clicks": pl.concat([_clicks(block) for block in drawn_blocks]).sort(in_time),
        "users": pl.concat([_users(block) for block in drawn_blocks]).sort("user_id"),
        "impressions": impressions.sort(in_time, maintain_order=True),
    }


def _clicks(block: Block) -> pl.DataFrame:
    mask = np.arange(block.items.shape[1]) < block.lengths[:, None]
    event = pl.when(pl.lit(pl.Series(block.purchase[mask]))).then(pl.lit("purchase")).otherwise(pl.lit("click"))
    columns = {
        "user_id": np.repeat(block.user, block.lengths),
        "item_id": block.items[mask].astype(np.int64) + 1,
        "timestamp": block.times[mask],
    }
    return pl.DataFrame(columns).with_columns(event=event)


def _users(block: Block) -> pl.DataFrame:
    group, country = pl.Series(AGE_GROUPS)[block.group], pl.Series(COUNTRIES)[block.country]
    return pl.DataFrame({"user_id": block.user, "age_group": group, "country": country})


def _truth(world: World, drawn_blocks: list[Block], users: int) -> pl.DataFrame:
    k = min(50, world.config.items)
    return pl.concat([truth_table(world, block, users, k) for block in drawn_blocks]).sort("split", "user_id")


def write_simulation(
    config: SimulateConfig, folder: Path, *, users_per_file: int = 100_000, truth_users: int | None = None
) -> dict[str, Any]:
    """Draw a log straight into files; memory holds one file's users at a time, however many there are.

    Writes ``clicks``, ``users`` and ``impressions`` (one ``.parquet`` file each, or a folder of parts where there are
    more than ``users_per_file`` users; each file in the order of time), ``items.parquet``, ``truth.parquet`` (see
    ``truth_table``) and ``truth.json`` (the best possible recall@k, and AUC by label). The folder is whole or absent.

    Args:
        config: Settings of the log.
        folder: Folder to write; an earlier simulated log there is replaced.
        users_per_file: Users in each file, rounded up to whole blocks of 8,192.
        truth_users: Users whose best items are written, from the first on; the cost is users x items. None: all, or as
            many as keep users x items within 200 million.

    Returns:
        Contents of ``truth.json``.

    Raises:
        InputError: The folder cannot be written or holds something else.
    """
    if (
        folder.exists()
        and not (folder / "truth.json").is_file()
        and not (folder.is_dir() and not any(folder.iterdir()))
    ):
        raise InputError(f"{folder} exists and holds no simulated log. Choose another folder or remove it.")
    n_truth = min(config.users, truth_users or max(1, _TRUTH_NUMBERS // config.items))
    world = make_world(config)
    several = config.users > users_per_file
    truths, n_clicks = [], 0
    probabilities: dict[str, list[NDArray[np.float32]]] = {task: [] for task in TASKS}
    with replacing(folder) as temporary, Progress("simulate", config.users, "users") as progress:
        temporary.mkdir()
        item_table(world).write_parquet(temporary / "items.parquet")
        for number, part in enumerate(_in_files(world, users_per_file)):
            tables = _tables(world, part)
            for name, table in tables.items():
                target = temporary / name / f"part-{number:05d}.parquet" if several else temporary / f"{name}.parquet"
                target.parent.mkdir(exist_ok=True)
                table.write_parquet(target)
            truths.append(_truth(world, part, n_truth))
            for task, parts in probabilities.items():
                parts.append(tables["impressions"][f"{task}_probability"].cast(pl.Float32).to_numpy())
            n_clicks += tables["clicks"].height
            progress.advance(tables["users"].height, events=f"{n_clicks:,}")
        truth = pl.concat(truths).sort("split", "user_id")
        truth.write_parquet(temporary / "truth.parquet")
        flat = {task: np.concatenate(parts).astype(np.float64) for task, parts in probabilities.items()}
        summary = truth_summary(n_clicks, truth, flat)
        (temporary / "truth.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _in_files(world: World, users_per_file: int) -> Iterator[list[Block]]:
    """Group blocks into files."""
    part: list[Block] = []
    for block in blocks(world):
        part.append(block)
        if sum(block.user.size for block in part) >= users_per_file:
            yield part
            part = []
    if part:
        yield part
