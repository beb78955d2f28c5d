"""The protocol that metrics hold for: one line and its counts."""

import sys
from typing import Any

import numpy as np

from recsys_bert.stages.evaluation.held_out import HeldOut

KINDS = {
    "next": "target: the next event",
    "last": "target: the last event, from all before it",
    "successive": "targets: every event, each from all before it; mean of each user first",
    "new users": "users without a history",
}
"""Kinds of target in words; all held-out events at once go without saying."""


def protocol(held_out: HeldOut) -> dict[str, Any]:
    """Describe what has to be equal before two numbers compare.

    Args:
        held_out: Users and targets.

    Returns:
        ``line``, the protocol in one line, and counts of items, users and targets.
    """
    dataset, queries, evaluator = held_out.dataset, held_out.queries, held_out.evaluator
    histories, (query, rows) = dataset.histories, evaluator.targets
    n_items, n_cold = dataset.n_rows - evaluator.first_item, dataset.n_rows - evaluator.n_warm_rows
    users, n_seen = np.unique(queries.users), 0
    n_users = len(users)
    if held_out.seen is not None:
        again = np.isin(query << 32 | rows, held_out.seen[0].astype(np.int64) << 32 | held_out.seen[1])
        n_seen = int((again & (rows >= evaluator.first_item)).sum())
    parts = (
        _split(dataset.manifest.split),
        held_out.split,
        *([KINDS[held_out.kind]] if held_out.kind in KINDS else []),
        *([f"targets: {', '.join(held_out.target_types)}"] if held_out.target_types else []),
        f"{n_users:,} users",
        f"full ranking of {n_items:,} items" + (f" ({n_cold:,} of them cold)" if n_cold else ""),
        "seen items kept" if held_out.seen is None else "seen items removed",
        "ties: lower row first",
        "NDCG: ideal list of min(targets, k)",
    )
    return {
        "line": " · ".join(parts),
        "split": dataset.manifest.split,
        "items": n_items,
        "users": n_users,
        "predictions": len(queries),
        "users_cold": int((histories.train_end[users] == histories.offsets[users]).sum()),
        "targets": len(rows),
        "targets_unknown": int((rows < evaluator.first_item).sum()),
        "targets_cold": int((rows >= evaluator.n_warm_rows).sum()),
        "targets_seen": n_seen,
        "fingerprint": dataset.fingerprint,
    }


def warn_of_seen(protocol: dict[str, Any]) -> None:
    """Warn on the terminal where most targets can never be hit, because the users had the items before."""
    n_seen, n_targets = protocol["targets_seen"], protocol["targets"]
    if 2 * n_seen > n_targets:
        which = "all" if n_seen == n_targets else f"{n_seen:,} of"
        print(
            f"warning: {which} {n_targets:,} targets are items that the user had before, and items of the history are "
            "not recommended: these are always missed. Pass seen = True (--seen) to rank them too.",
            file=sys.stderr,
        )


def _split(split: dict[str, Any]) -> str:
    kind = str(split["kind"]).replace("_", "-") + ("" if split.get("validation", True) else ", refit")
    since = split.get("test_from_iso")
    return f"{kind} cut, test from {since}" if since else kind
