"""Token sequences before an objective makes inputs and targets of them; no torch in here."""

from dataclasses import dataclass

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

    @property
    def mask(self) -> Bools:
        """``[batch, seq]``, True on tokens, False on padding."""
        return np.arange(self.tokens.shape[1]) < self.lengths[:, None]

    @property
    def predictable(self) -> Bools:
        """``[batch, seq]``, True where a token may be predicted."""
        return self.mask if self.allowed is None else self.mask & self.allowed
