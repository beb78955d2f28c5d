"""Token sequences before an objective makes inputs and targets of them; no torch in here."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """Rows of a token table that an objective has to know."""

    mask: int
    """Row of the mask."""

    first: int
    """First row that may be predicted; those below are special."""

    size: int
    """Rows in all."""


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """A batch of histories or texts, padded with row 0 on the right."""

    tokens: Ints
    """``[batch, seq]``, oldest first."""

    lengths: Ints
    """``[batch]`` tokens of each."""

    open_ended: bool
    """True: at test time the token after the last one is predicted, as for histories. Texts are complete."""

    allowed: Bools | None = None
    """``[batch, seq]``, False where nothing may be predicted (special and unknown tokens); None: no such position."""

    words: Ints | None = None
    """``[batch, seq]`` word of each position, counted from 0 without gaps, 0 on padding; None: one word a position."""

    segments: Ints | None = None
    """``[batch, seq]`` rows of the segment table; None without segments."""

    times: Ints | None = None
    """``[batch, seq]`` unix seconds; None without times."""

    weights: NDArray[np.floating] | None = None
    """``[batch, seq]`` factor on the loss where the token is a target; None: 1."""

    targeted: Bools | None = None
    """``[batch, seq]``, True on tokens that may be targets by their event type; None: all. The others are context."""

    features: dict[str, Ints] = field(default_factory=dict)
    """Side features of positions by name, ``[batch, seq]``, 0 is none; those of a predicted token are not known."""

    @property
    def mask(self) -> Bools:
        """``[batch, seq]``, True on tokens, False on padding."""
        return np.arange(self.tokens.shape[1]) < self.lengths[:, None]

    @property
    def predictable(self) -> Bools:
        """``[batch, seq]``, True where a token may be predicted."""
        predictable = self.mask
        for part in (self.allowed, self.targeted):
            predictable = predictable if part is None else predictable & part
        return predictable

    def target_weights(self, index: Ints) -> dict[str, Any]:
        """Batch entries ``weights [n]`` and ``total_weight``; none where all weigh 1.

        Args:
            index: Targets by their index in the flattened ``tokens``, ``[n]``.
        """
        if self.weights is None:
            return {}
        weights = self.weights.reshape(-1)[index].astype(np.float32)
        return {"weights": weights, "total_weight": float(weights.sum(dtype=np.float64))}
