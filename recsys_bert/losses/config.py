"""Settings of the item losses; no torch in here."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How a predicted vector is compared with the item table."""

    name: Literal["full", "sampled", "gbce"] = "full"
    """Cross-entropy over the whole catalogue, over sampled items with logQ, or generalised binary cross-entropy."""

    negatives: int = 256
    """Items drawn per history and shared by its positions, for sampled and gbce."""

    negative_power: float = 0.0
    """Negatives are drawn in proportion to training count to this power; 0 is uniform."""

    similarity: Literal["dot", "cosine"] = "dot"
    """Plain inner product, or cosine divided by the temperature."""

    temperature: float = 0.06
    """Divides the cosine; not used by dot."""

    calibration: float = 0.75
    """gBCE's t in [0, 1]; 0 is plain binary cross-entropy."""

    chunk: int = 512
    """Positions scored at a time by the full cross-entropy; bounds its memory at chunk × catalogue floats."""

    def __post_init__(self) -> None:
        if self.negatives < 1 or self.chunk < 1:
            raise InputError(f"loss.negatives is {self.negatives}, loss.chunk {self.chunk}; both must be at least 1.")
        if not self.temperature > 0:
            raise InputError(f"loss.temperature is {self.temperature}; it must be above 0, as in 0.06.")
        if not 0 <= self.calibration <= 1:
            raise InputError(f"loss.calibration is {self.calibration}; it must lie in [0, 1].")
