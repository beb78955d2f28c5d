"""Encoders small enough to check by hand."""

from collections.abc import Callable

import pytest
import torch

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder


@pytest.fixture
def make() -> Callable[..., Encoder]:
    """Build a tiny encoder in evaluation mode: ``make(**settings)``; ``seed`` chooses its weights."""

    def build(seed: int = 3, **settings: object) -> Encoder:
        torch.manual_seed(seed)
        sizes = {"vocab_size": 20, "dim": 8, "n_heads": 2, "max_len": 8, "init_std": 0.5}
        return Encoder(EncoderConfig.from_dict(sizes | settings)).eval()

    return build
