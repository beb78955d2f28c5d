"""Paired significance tests on the same users' values.

The test is the paired randomisation test and the interval a paired bootstrap; both beat the t-test's assumptions
and agree with it on large samples (Smucker, Allan & Carterette 2007, https://doi.org/10.1145/1321440.1321528).
They speak of users, not of training seeds: two seeds of one model may well differ "significantly".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError
from recsys_bert.evaluation.ranking import bootstrap

Correction = Literal["holm", "bonferroni", "none"]
CORRECTIONS = get_args(Correction)

_CHUNK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The mean difference of two runs over the users that both have a value for."""

    difference: float
    """Mean of first minus second."""
    low: float
    """Lower end of the paired bootstrap interval."""
    high: float
    """Upper end."""
    p_value: float
    """Two-sided, of the paired randomisation test; never below 1 / (samples + 1)."""
    better: int
    """Users for whom the first is better."""
    worse: int
    """Users for whom it is worse."""
    tied: int
    """Users with equal values."""


def compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two runs user by user.

    Args:
        first: One metric of one run, float64 ``[n]``; NaN where a user has no value.
        second: The same metric of the other run for the same users in the same order.
        samples: Random sign assignments of the test; the interval takes a tenth of them, 1,000 at least.
        level: Coverage of the interval, in (0, 1).
        seed: Of both.

    Raises:
        InputError: The lengths differ, or no user has both values.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"paired values need the same users: got shapes {first.shape} and {second.shape}.")
    difference = first - second
    difference = difference[~np.isnan(difference)]
    if not difference.size:
        raise InputError("no user has a value in both runs; there is nothing to compare.")
    low, high = bootstrap(difference[:, None], max(samples // 10, 1000), level, seed)
    return Comparison(
        difference=float(difference.mean()),
        low=float(low[0]),
        high=float(high[0]),
        p_value=randomisation_p(difference, samples, seed),
        better=int((difference > 0).sum()),
        worse=int((difference < 0).sum()),
        tied=int((difference == 0).sum()),
    )


def randomisation_p(difference: NDArray[np.float64], samples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference when every user's sign is a fair coin.

    Args:
        difference: float64 ``[n]`` without NaN.
        samples: Coin assignments drawn; the observed one counts as one more, so p is never 0.
        seed: Of the coins.
    """
    nonzero = difference[difference != 0]  # a zero has no sign to flip
    if not nonzero.size:
        return 1.0
    rng = np.random.default_rng(seed)
    width = -(-nonzero.size // 8)
    chunk = max(1, _CHUNK // nonzero.size)
    observed = abs(nonzero.sum()) * (1.0 - 1e-12)  # equal sums in another order of addition are equal
    extreme = 0
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        coins = np.unpackbits(rng.integers(0, 256, (size, width), dtype=np.uint8), axis=1, count=nonzero.size)
        sums = 2.0 * (coins.astype(np.float64) @ nonzero) - nonzero.sum()
        extreme += int((np.abs(sums) >= observed).sum())
    return (extreme + 1) / (samples + 1)


def corrected(p_values: Sequence[float], correction: Correction = "holm") -> list[float]:
    """p-values adjusted for several comparisons at once, in the given order.

    Args:
        p_values: Of all comparisons.
        correction: ``holm``: step-down (Holm 1979); ``bonferroni``: each times their number, never less strict; both
            bound the chance of any false difference. ``none`` leaves them.

    Raises:
        InputError: Another name.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if correction not in CORRECTIONS:
        raise InputError(f"no correction is called {correction!r}. Known: {', '.join(CORRECTIONS)}.")
    if correction == "none":
        return [float(value) for value in p]
    if correction == "bonferroni":
        return [float(value) for value in np.minimum(p * len(p), 1.0)]
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return [float(value) for value in adjusted]
