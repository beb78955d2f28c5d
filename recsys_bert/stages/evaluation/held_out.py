"""Held-out events, and a model that ranks the catalogue for them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.evaluation.evaluator import Evaluator
from recsys_bert.retrieval.exact import Seen

Ranking = tuple[NDArray[np.int32], float | None]
"""Lists ``[n, K]`` of item rows, -1 after the last, and users a second; None where nothing was timed."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out events that all models are evaluated on."""

    dataset: ClickDataset
    """The log."""
    queries: Queries
    """The users' histories and targets."""
    evaluator: Evaluator
    """Metrics of lists against the targets."""
    seen: Seen | None
    """``(query_index, row)`` pairs that are left out of every list; None leaves nothing out."""

    @property
    def depth(self) -> int:
        """Length of the lists: the largest k."""
        return self.evaluator.ks[-1]


@dataclass(frozen=True, kw_only=True)
class ModelUnderTest:
    """A model that ranks the catalogue."""

    name: str
    """In the report."""
    kind: Literal["run", "baseline", "best_possible"]
    """Trained model, baseline, or the simulator's oracle."""
    rank: Callable[[dict[str, Any]], Ranking]
    """Rank for the held-out users; may add to the results that it is handed."""
    evaluator: Evaluator | None = None
    """Set where the model covers some of the users only; its metrics are over them."""
