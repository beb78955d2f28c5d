"""Presets of settings that go together: ``--size``, or ``size=`` from Python."""

from collections.abc import Mapping
from typing import Any

_NAMES = ("encoder.dim", "encoder.n_layers", "encoder.n_heads", "encoder.max_len", "train.batch_size")

SIZES: Mapping[str, Mapping[str, Any]] = {
    size: dict(zip(_NAMES, values, strict=True))
    for size, values in {
        "tiny": (32, 1, 1, 50, 64),
        "small": (64, 2, 2, 200, 128),
        "base": (128, 4, 4, 200, 128),
    }.items()
}
"""Encoders of click histories with a batch size that suits them."""
