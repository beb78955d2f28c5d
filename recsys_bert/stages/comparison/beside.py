"""Baselines that a run showed beside its model, as metrics of a comparison."""

from collections.abc import Mapping
from typing import Any


def baseline_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """AUC and log likelihood on the test of the baselines of ``train_ctr``, as ``auc of ppmi_linear``.

    They are fitted on the training impressions of each run, hence have a mean and a spread over seeds.

    Args:
        metrics: Of a run; of other stages there are none.
    """
    numbers: dict[str, float] = {}
    for baseline, splits in metrics.get("baselines", {}).items():
        for name, value in splits.get("test", {}).items():
            label, _, metric = name.rpartition(".")
            prefix = f"{label}." if label else ""
            if metric == "auc":
                numbers[f"{prefix}auc of {baseline}"] = value
            elif metric == "log_loss":
                numbers[f"{prefix}log_likelihood of {baseline}"] = -value
    return numbers
