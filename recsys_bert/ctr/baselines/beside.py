"""Baselines beside a CTR model: built by name, fitted on its training impressions, evaluated on its splits."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.ctr.baselines import CTR_BASELINES
from recsys_bert.ctr.data import CTRData
from recsys_bert.ctr.inference import label_metrics
from recsys_bert.encoder.parts import build
from recsys_bert.progress import step


class CTRBaseline(Protocol):
    """See the package's docstring."""

    def fit(self, train: CTRData, validation: CTRData) -> None:
        """Fit on impressions with one label."""

    def probabilities(self, data: CTRData) -> NDArray[np.float64]:
        """Click probabilities ``[n]``."""


def build_baseline(name: str, dataset: ClickDataset | None, history_len: int) -> CTRBaseline:
    """Build a baseline.

    Args:
        name: A name in ``CTR_BASELINES``, or ``module:Class``.
        dataset: The prepared log; None for impressions alone.
        history_len: Last events before an impression that the model reads.

    Raises:
        InputError: The name is unknown, or the baseline lacks what it reads.
    """
    baseline: CTRBaseline = build("CTR baseline", name, CTR_BASELINES, dataset, history_len, options={})
    return baseline


def baseline_metrics(
    names: Sequence[str],
    data: Mapping[str, CTRData],
    tasks: Sequence[str],
    dataset: ClickDataset | None,
    history_len: int,
) -> dict[str, dict[str, dict[str, float]]]:
    """Fit baselines on ``train``, and evaluate each on the other splits.

    Args:
        names: As in ``build_baseline``.
        data: Splits by name.
        tasks: Names of the labels.
        dataset: The prepared log; None for impressions alone.
        history_len: Last events before an impression that the model reads.

    Returns:
        Name → split → metrics.
    """
    metrics = {}
    for name in names:
        with step(f"fitting {name}"):
            metrics[name] = fit_and_evaluate(build_baseline(name, dataset, history_len), data, tasks)
    return metrics


def fit_and_evaluate(
    baseline: CTRBaseline, data: Mapping[str, CTRData], tasks: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Fit on ``train``, and evaluate on the other splits; of several labels each is fitted by itself.

    Returns:
        Split → metrics, see ``recsys_bert.ctr.inference.label_metrics``.
    """
    held_out = {name: part for name, part in data.items() if name != "train"}
    scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in held_out}
    for task in range(len(tasks)):
        baseline.fit(data["train"].of_task(task), data["validation"].of_task(task))
        for name, part in held_out.items():
            scores[name].append(baseline.probabilities(part))
    return {
        name: label_metrics(part, np.stack(scores[name], 1) if len(tasks) > 1 else scores[name][0], tasks)
        for name, part in held_out.items()
    }
