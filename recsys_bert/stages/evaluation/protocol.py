"""The protocol that metrics hold for: one line and its counts."""

from typing import Any

import numpy as np

from recsys_bert.stages.evaluation.held_out import HeldOut


def protocol(held_out: HeldOut, split: str) -> dict[str, Any]:
    """Describe what has to be equal before two numbers compare.

    Args:
        held_out: Users and targets.
        split: ``validation`` or ``test``.

    Returns:
        ``line``, the protocol in one line, and counts of items, users and targets.
    """
    dataset, queries, evaluator = held_out.dataset, held_out.queries, held_out.evaluator
    histories, (query, rows) = dataset.histories, evaluator.targets
    n_items, n_cold = dataset.n_rows - evaluator.first_item, dataset.n_rows - evaluator.n_warm_rows
    n_seen = 0
    if held_out.seen is not None:
        again = np.isin(query << 32 | rows, held_out.seen[0].astype(np.int64) << 32 | held_out.seen[1])
        n_seen = int((again & (rows >= evaluator.first_item)).sum())
    parts = (
        _split(dataset.manifest.split),
        split,
        f"{len(queries):,} users",
        f"full ranking of {n_items:,} items" + (f" ({n_cold:,} of them cold)" if n_cold else ""),
        "seen items kept" if held_out.seen is None else "seen items removed",
        "ties: lower row first",
        "NDCG: ideal list of min(targets, k)",
    )
    return {
        "line": " · ".join(parts),
        "split": dataset.manifest.split,
        "items": n_items,
        "users": len(queries),
        "users_cold": int((histories.train_end[queries.users] == histories.offsets[queries.users]).sum()),
        "targets": len(rows),
        "targets_unknown": int((rows < evaluator.first_item).sum()),
        "targets_cold": int((rows >= evaluator.n_warm_rows).sum()),
        "targets_seen": n_seen,
        "fingerprint": dataset.fingerprint,
    }


def _split(split: dict[str, Any]) -> str:
    kind = str(split["kind"]).replace("_", "-") + ("" if split.get("validation", True) else ", refit")
    since = split.get("test_from_iso")
    return f"{kind} cut, test from {since}" if since else kind
