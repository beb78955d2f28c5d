"""Draw tokens: temperature, top-k, nucleus."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recsys_bert.decoding.config import DecodingConfig


def draw(scores: Tensor, config: DecodingConfig, random: Sequence[np.random.Generator]) -> Tensor:
    """Draw a token of each row.

    Args:
        scores: Logits ``[rows, vocab]``, −∞ for tokens that may not follow.
        config: Temperature, top_k, top_p.
        random: A generator per row, so that a row's draws do not depend on others.

    Returns:
        int64 ``[rows]``.
    """
    descending, tokens = warp(scores, config).sort(dim=1, descending=True, stable=True)
    cumulative = descending.softmax(1).double().cumsum(1)
    numbers = torch.tensor([one.random() for one in random], dtype=torch.float64, device=scores.device)[:, None]
    index = (cumulative <= numbers * cumulative[:, -1:]).sum(1, keepdim=True)
    return tokens.gather(1, index)[:, 0]


def warp(scores: Tensor, config: DecodingConfig) -> Tensor:
    """Logits over the temperature, −∞ outside top-k and nucleus; at least the most probable token stays."""
    scores = scores / config.temperature
    if config.top_k and config.top_k < scores.shape[1]:
        least = scores.topk(config.top_k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if config.top_p < 1:
        descending, tokens = scores.sort(dim=1, descending=True, stable=True)
        probabilities = descending.softmax(1)
        before = probabilities.cumsum(1) - probabilities
        left_out = torch.zeros_like(scores, dtype=torch.bool).scatter(1, tokens, before >= config.top_p)
        scores = scores.masked_fill(left_out, -torch.inf)
    return scores
