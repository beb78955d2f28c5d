"""Parts as somebody outside the project would write them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask
from recsys_bert.errors import InputError
from recsys_bert.objectives.masked import context
from recsys_bert.objectives.sequences import Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction


class PlainLayer(nn.Module):
    ends_with_norm = True

    def __init__(self, dim: int, n_heads: int, dropout: float, *, gain: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.gain = gain

    def forward(self, x: Tensor, attention_mask: AttentionMask, state: None) -> tuple[Tensor, None]:
        return self.gain * self.linear(x), None


class First(nn.Module):
    def __init__(self, dim: int, n_layers: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        return self.gain * states[0]


class Halves(nn.Module):
    def __init__(self, dim: int, dropout: float, *, causal: bool, gain: float = 1.0) -> None:
        super().__init__()
        if causal:
            raise InputError("neck Halves cannot be causal.")
        self.out_dim = dim // 2
        self.gain = gain

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.gain * x[..., : self.out_dim]


class FirstEvents:
    """Objective: mask the first tokens of every sequence."""

    attention = "bidirectional"
    appends_mask = True
    extra_events = 0

    def __init__(self, *, n_masked: int = 1) -> None:
        self.n_masked = n_masked

    def make_batch(self, sequences: Sequences, table: TokenTable, random: np.random.Generator) -> dict[str, Any]:
        first = np.arange(sequences.tokens.shape[1]) < self.n_masked
        masked = (first | (random.random(sequences.tokens.shape) < 0.3)) & sequences.predictable
        positions = np.flatnonzero(masked)
        targets = sequences.tokens.reshape(-1)[positions]
        tokens = np.where(masked, table.mask, sequences.tokens).astype(np.int32)
        batch = {"tokens": tokens, "positions": positions, "targets": targets, "n_targets": len(targets)}
        return batch | sequences.target_weights(positions) | context(sequences, masked)

    def module(self, prediction: TokenPrediction) -> TokenPrediction:
        return prediction
