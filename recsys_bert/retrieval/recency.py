"""Recency: items by their share in the last events of training, as an addition to a model's scores.

An item gains ``weight · log(1 + share / smoothing)``; ``share`` is its share in the event weight of training, where an
event that is ``age`` days older than the last one counts ``2 ** (−age / days)`` (kernel ``half_life``), or 1 up to
``days`` and 0 beyond (kernel ``window``). Interest that fades exponentially is that of Ding and Li 2005
(https://doi.org/10.1145/1099554.1099689).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError

Kernel = Literal["half_life", "window"]

_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Recency:
    """A kernel and the scale of its gains."""

    kernel: Kernel
    """``half_life`` or ``window``."""
    days: float
    """Half-life, or length of the window."""
    weight: float
    """Factor on the gains; from 8 on the order is nearly that of popularity."""
    smoothing: float
    """Share at which an item gains ``weight · log 2``."""

    def __post_init__(self) -> None:
        for name in ("days", "weight", "smoothing"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(f"recency's {name} is {getattr(self, name)}; it must be above 0.")

    def gains(self, dataset: ClickDataset, n_rows: int) -> NDArray[np.float32]:
        """Gain of each row as of the end of training, ``[n_rows]``; 0 on rows without recent events.

        Raises:
            InputError: The log has no times.
        """
        gains = np.zeros(n_rows, np.float32)
        shares = recent_shares(dataset, self.kernel, self.days)[:n_rows]
        gains[: len(shares)] = self.weight * np.log1p(shares / self.smoothing)
        return gains


def recent_shares(dataset: ClickDataset, kernel: Kernel, days: float) -> NDArray[np.float64]:
    """Share of each row in the weight of recent training events, as of the last of them, ``[size]``.

    Raises:
        InputError: The log has no times.
    """
    if not dataset.has_times:
        raise InputError("recency needs times and this log has none. Leave it out.")
    events, vocabulary = TrainingEvents.of(dataset.histories), dataset.vocabulary
    faded = events.weights * fading(events.times, kernel, days)
    weight = np.bincount(events.items, faded, minlength=vocabulary.size)[: vocabulary.size]
    weight[: vocabulary.first_item] = 0
    shares: NDArray[np.float64] = weight / max(weight.sum(), 1e-12)
    return shares


def fading(times: NDArray[np.int64], kernel: Kernel, days: float) -> NDArray[np.float64]:
    """Weight of events by age, of the last one 1."""
    age = (times.max(initial=0) - times) / (days * _DAY)
    return 2.0**-age if kernel == "half_life" else (age <= 1).astype(np.float64)
