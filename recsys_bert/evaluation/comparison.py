"""Configurations of a grid against each other: spread over seeds, paired tests on examples, convergence.

Two kinds of chance stand beside each other. The standard deviation is over training seeds. The paired test is over
test examples: each example's values are averaged over a configuration's seeds first, so it tests whether the
configurations differ on other examples of the same kind, given these trained models (see ``significance``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError
from recsys_bert.evaluation.significance import Correction, compare, corrected

Curve = list[tuple[int, float]]
"""Validation metric by epoch, ascending."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """One finished training of a configuration."""

    seed: int
    """Of the training."""
    metrics: dict[str, float]
    """Metrics on the test examples; higher is better."""
    examples: NDArray[np.float64]
    """The metric of the comparison by example, float64 ``[n]``, in the order of the test; NaN where there is none."""
    curve: Curve
    """The validation metric that chose the epoch."""
    seconds: float
    """Wall time of the training, validation included."""
    parameters: int
    """How many the model has."""
    epochs: int
    """Passes over the data until it stopped."""
    best_epoch: int
    """The epoch whose weights are the model's."""


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """Mean and sample standard deviation (n − 1); None for the mean of nothing and the deviation of one."""
    n = len(values)
    return {
        "mean": float(np.mean(values)) if n else None,
        "std": float(np.std(values, ddof=1)) if n > 1 else None,
        "n": n,
    }


def describe(runs: Sequence[FinishedRun], target: float | None) -> dict[str, Any]:
    """Summarise one configuration.

    Args:
        runs: Its finished runs, a seed each.
        target: Validation metric that convergence is timed to; None leaves that out.

    Returns:
        ``metrics``, ``seconds``, ``epochs``, ``best_epoch``, ``best``: see ``spread``; ``parameters``;
        ``curve``: ``[epoch, mean, std]`` of every epoch at which all seeds were validated; ``epochs_to_target``:
        one a seed, None where it was never reached.
    """
    names = runs[0].metrics if runs else {}
    return {
        "metrics": {name: spread([run.metrics[name] for run in runs]) for name in names},
        "seconds": spread([run.seconds for run in runs]),
        "epochs": spread([run.epochs for run in runs]),
        "best_epoch": spread([run.best_epoch for run in runs]),
        "best": spread([max(value for _, value in run.curve) for run in runs if run.curve]),
        "parameters": runs[0].parameters if runs else None,
        "curve": mean_curve([run.curve for run in runs]),
        "epochs_to_target": [None if target is None else first_epoch(run.curve, target) for run in runs],
    }


def mean_curve(curves: Sequence[Curve]) -> list[list[Any]]:
    """``[epoch, mean, std]`` over the curves, of the epochs that all of them have.

    A mean over those that are still running would favour whatever stopped early.
    """
    by_epoch = [dict(curve) for curve in curves]
    shared = sorted(set.intersection(*map(set, by_epoch))) if by_epoch else []
    points = []
    for epoch in shared:
        entry = spread([curve[epoch] for curve in by_epoch])
        points.append([epoch, entry["mean"], entry["std"]])
    return points


def first_epoch(curve: Curve, target: float) -> int | None:
    """First epoch at which the metric is at least ``target``; None where it never is."""
    return next((epoch for epoch, value in curve if value >= target), None)


def target_of(runs: Sequence[FinishedRun], share: float) -> float | None:
    """Target of convergence: ``share`` of the mean best validation metric of these runs."""
    best = spread([max(value for _, value in run.curve) for run in runs if run.curve])["mean"]
    return None if best is None else share * best


def against_first(
    configurations: Mapping[str, Sequence[FinishedRun]],
    samples: int = 10_000,
    level: float = 0.95,
    correction: Correction = "holm",
) -> list[dict[str, Any]]:
    """Compare every configuration with the first one, example by example.

    Args:
        configurations: Finished runs by configuration; one without any takes no part.
        samples: Of the randomisation test; see ``compare``.
        level: Coverage of the intervals.
        correction: Of the p-values of all configurations together.

    Returns:
        One dict a configuration: ``configuration``, ``against``, fields of ``Comparison``, ``p_corrected`` for all of
        them together, and ``seeds_better`` of ``seeds_shared``: on how many of the seeds that both have its mean is
        higher.

    Raises:
        InputError: Configurations were evaluated on different numbers of examples.
    """
    if len(sizes := {len(run.examples) for runs in configurations.values() for run in runs}) > 1:
        raise InputError(f"the configurations were evaluated on different numbers of examples: {sorted(sizes)}.")
    names = [name for name, runs in configurations.items() if runs]
    first, lines = next(iter(configurations)), []
    for name in names[1:] if names[:1] == [first] else []:
        means = [np.mean([run.examples for run in configurations[key]], axis=0) for key in (name, first)]
        test = compare(means[0], means[1], samples, level)
        by_seed = _by_seed(configurations[name], configurations[first])
        lines.append({"configuration": name, "against": first, **asdict(test), **by_seed})
    for line, p in zip(lines, corrected([line["p_value"] for line in lines], correction), strict=True):
        line["p_corrected"] = p
    return lines


def _by_seed(runs: Sequence[FinishedRun], baseline: Sequence[FinishedRun]) -> dict[str, int]:
    means, first = ({run.seed: float(np.nanmean(run.examples)) for run in group} for group in (runs, baseline))
    shared = sorted(set(means) & set(first))
    return {"seeds_better": sum(means[seed] > first[seed] for seed in shared), "seeds_shared": len(shared)}
