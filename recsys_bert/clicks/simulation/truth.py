"""Recommendations of the oracle as a table, and their recall and AUC."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from recsys_bert.clicks.simulation.oracle import best_auc, best_items
from recsys_bert.clicks.simulation.process import Block, Longs
from recsys_bert.clicks.simulation.purchases import purchase_probabilities
from recsys_bert.clicks.simulation.world import Floats, World

KS = (1, 5, 10, 20, 50)
HELD_OUT = {"validation": 2, "test": 1}
"""Clicks that leave-one-out holds out before the target."""


def truth_table(world: World, block: Block, users: int, k: int) -> pl.DataFrame:
    """Oracle's top items for both leave-one-out targets of each user whose ``user_id`` is at most ``users``.

    Returns:
        Two rows a user: ``user_id``, ``split`` (validation: the last click but one; test: the last), ``event`` (any),
        ``item_id`` (the clicked item), ``best_items`` (the ``k`` most probable ids, in order) and their
        ``probabilities``. Where items differ in how often they are purchased, two more: of the last purchases, from all
        clicks before each.
    """
    parts = []
    for split, held_out in HELD_OUT.items():
        rows = np.flatnonzero((block.user <= users) & (block.lengths >= held_out))
        parts.append(_answers(world, block, rows, block.lengths[rows] - held_out, k, split, "any"))
        if world.config.purchase_spread:
            purchases = block.purchase & (np.arange(block.items.shape[1]) < block.lengths[:, None])
            rows = np.flatnonzero((block.user <= users) & (purchases.sum(axis=1) >= held_out))
            from_last = np.cumsum(purchases[rows][:, ::-1], axis=1)[:, ::-1]  # purchases from each click on
            lengths = block.items.shape[1] - 1 - np.argmax((from_last >= held_out)[:, ::-1], axis=1)
            parts.append(_answers(world, block, rows, lengths, k, split, "purchase"))
    return pl.concat(parts)


def _answers(world: World, block: Block, rows: Longs, lengths: Longs, k: int, split: str, event: str) -> pl.DataFrame:
    """Best items of some users after their first ``lengths`` clicks, beside the click that came."""
    weights = purchase_probabilities(world) if event == "purchase" else None
    top, probabilities = best_items(world, block.items[rows], lengths, block.group[rows], k, weights)
    columns = {
        "user_id": block.user[rows],
        "split": np.full(rows.size, split),
        "event": np.full(rows.size, event),
        "item_id": block.items[rows, lengths].astype(np.int64) + 1,
        "best_items": pl.Series(top.astype(np.int64) + 1, dtype=pl.Array(pl.Int64, k)),
        "probabilities": pl.Series(probabilities, dtype=pl.Array(pl.Float64, k)),
    }
    return pl.DataFrame(columns).with_columns(pl.col("best_items", "probabilities").arr.to_list())


def best_recall(truth: pl.DataFrame, split: str = "test", event: str = "any") -> dict[str, dict[str, float]]:
    """Best possible recall@k over the rows of a truth table, one target a user: of any event, or of purchases.

    Returns:
        ``{"recall@10": {"expected": 0.41, "drawn": 0.4}, …}``. No ranking has a higher expected recall; ``drawn`` is
        the oracle's recall on the drawn targets, and differs from it by chance.
    """
    part = truth.filter((pl.col("split") == split) & (pl.col("event") == event))
    if part.is_empty():
        return {}
    best, probabilities = np.array(part["best_items"].to_list()), np.array(part["probabilities"].to_list())
    hit = best == part["item_id"].to_numpy()[:, None]
    return {
        f"recall@{k}": {"expected": float(probabilities[:, :k].sum(1).mean()), "drawn": float(hit[:, :k].any(1).mean())}
        for k in KS
        if k <= best.shape[1]
    }


def truth_summary(n_clicks: int, truth: pl.DataFrame, probabilities: Mapping[str, Floats]) -> dict[str, Any]:
    """Gather the counts, the best recall of both splits and the best AUC of each label.

    Args:
        n_clicks: Clicks of the log.
        truth: See ``truth_table``.
        probabilities: Those of the impressions, by label, ``[n]`` each.
    """
    purchases = {split: best_recall(truth, split, "purchase") for split in HELD_OUT}
    return {
        "clicks": n_clicks,
        "impressions": next(iter(probabilities.values())).size,
        "oracle": "knows each user's age group and earlier clicks, nothing hidden, and not whether a session begins",
        "oracle_users": truth["user_id"].n_unique(),
        "best": {split: best_recall(truth, split) for split in HELD_OUT},
        **({"best_purchases": purchases} if purchases["test"] else {}),
        "best_auc": {task: best_auc(probability) for task, probability in probabilities.items()},
    }
