"""Scale of a numeric or vector feature: fitted on rows with training events, saved, and kept when a log grows."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.features_config import Rule

LIMIT = 10.0
"""Scaled numbers are cut at plus and minus this."""

SKEWED = 2.0
"""Skewness above which ``auto`` takes the logarithm of numbers that are not negative."""

_STEPS = 101
_ROOT_3 = 3**0.5  # ranks spread evenly from -√3 to √3 have standard deviation 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Map from raw numbers to inputs of mean square about 1.

    Args:
        kind: ``numeric`` or ``vectors``.
        width: Numbers a row.
        rule: ``standard``: (x - mean) / std; ``log``: the same of sign(x) log(1 + |x|); ``rank``: share of the trained
            rows below x, spread over -√3 to √3; ``scale``: vectors divided by the root mean square of their numbers.
        mean: Subtracted.
        std: Divided by.
        knots: Distinct quantiles of the trained rows, for ``rank``.
        shares: Share of the trained rows below each of them, half of its equals counted.
    """

    kind: Literal["numeric", "vectors"]
    width: int
    rule: Literal["standard", "log", "rank", "scale"]
    mean: float = 0.0
    std: float = 1.0
    knots: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    def to_text(self) -> str:
        """JSON text, the meaning of the feature."""
        return json.dumps(asdict(self))

    @staticmethod
    def of_text(text: str) -> "Scaling":
        """Scaling of what ``to_text`` wrote."""
        values = json.loads(text)
        return Scaling(**{**values, "knots": tuple(values["knots"]), "shares": tuple(values["shares"])})

    def apply(self, raw: Floats) -> Floats:
        """Scaled numbers of the same shape."""
        if self.rule == "rank":
            shares = np.interp(raw, self.knots, self.shares)
            return np.asarray((2 * shares - 1) * _ROOT_3)
        return ((_log(raw) if self.rule == "log" else raw) - self.mean) / self.std


def fit_numbers(trained: Floats, rule: Rule) -> Scaling:
    """Scaling of a numeric column.

    Args:
        trained: Numbers of rows with training events, without missing ones; may be empty.
        rule: ``auto``: log for numbers none of which is negative and whose skewness is above ``SKEWED``.
    """
    if rule == "auto":
        rule = "log" if len(trained) and trained.min() >= 0 and _skewness(trained) > SKEWED else "standard"
    if rule == "rank" and len(trained):
        steps = np.linspace(0, 1, _STEPS)
        knots, index = np.unique(np.quantile(trained, steps), return_inverse=True)
        shares = np.bincount(index, steps) / np.bincount(index)
        return Scaling(kind="numeric", width=1, rule="rank", knots=tuple(knots.tolist()), shares=tuple(shares.tolist()))
    raw = _log(trained) if rule == "log" else trained
    mean, std = (float(raw.mean()), float(raw.std())) if len(raw) else (0.0, 1.0)
    return Scaling(kind="numeric", width=1, rule="log" if rule == "log" else "standard", mean=mean, std=std or 1.0)


def fit_vectors(trained: NDArray[np.float32], width: int) -> Scaling:
    """Scaling of vectors ``[n, width]`` of rows with training events: their numbers' root mean square becomes 1."""
    square = float(np.square(trained, dtype=np.float64).mean()) if trained.size else 0.0
    return Scaling(kind="vectors", width=width, rule="scale", std=square**0.5 or 1.0)


def _log(raw: Floats) -> Floats:
    return np.sign(raw) * np.log1p(np.abs(raw))


def _skewness(numbers: Floats) -> float:
    centred = numbers - numbers.mean()
    std = centred.std()
    return float((centred**3).mean() / std**3) if std > 0 else 0.0
