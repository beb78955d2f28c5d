"""Next-token prediction at every position, left to right, as in SASRec (https://arxiv.org/abs/1808.09781) and GPT."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recsys_bert.encoder.batch import FEATURE
from recsys_bert.objectives.sequences import Bools, Ints, Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction


@dataclass(frozen=True, kw_only=True)
class NextItem:
    """Predict the next token at every position."""

    attention: ClassVar[str] = "causal"
    appends_mask: ClassVar[bool] = False
    extra_events: ClassVar[int] = 1

    def make_batch(self, sequences: Sequences, table: TokenTable, random: np.random.Generator) -> dict[str, Any]:
        """Inputs without each sequence's last token, which is a target alone. See ``Objective``."""
        batch = next_item(
            sequences.tokens,
            sequences.lengths,
            table.first,
            sequences.times,
            segments=sequences.segments,
            allowed=sequences.predictable,
        )
        batch |= {f"{FEATURE}{name}": values[:, :-1] for name, values in sequences.features.items()}
        row, column = np.divmod(batch["positions"], batch["tokens"].shape[1])
        return batch | sequences.target_weights(row * sequences.tokens.shape[1] + column + 1)

    def module(self, prediction: TokenPrediction) -> TokenPrediction:
        """Train the prediction itself."""
        return prediction


def next_item(
    tokens: Ints,
    lengths: Ints,
    first: int,
    times: Ints | None = None,
    *,
    segments: Ints | None = None,
    allowed: Bools | None = None,
) -> dict[str, Any]:
    """Next-item batch: every position but a sequence's last predicts its successor.

    Args:
        tokens: ``[batch, seq]``, padded on the right, ``seq`` ≥ 2.
        lengths: ``[batch]``, each ≥ 2.
        first: Rows below it (unknown items, special tokens) are context, never a target.
        times: Unix seconds ``[batch, seq]``, if the encoder reads them.
        segments: ``[batch, seq]``, if there are any.
        allowed: ``[batch, seq]``, False where nothing may be predicted; None: ``first`` alone decides.

    Returns:
        ``tokens [batch, seq - 1]``, ``times`` and ``segments`` of those, ``positions`` and ``targets [n]``,
        ``n_targets``.
    """
    inputs = np.where(np.arange(tokens.shape[1]) < lengths[:, None] - 1, tokens, 0)[:, :-1]
    successors = tokens[:, 1:]
    predicted = (inputs != 0) & (successors >= first)
    if allowed is not None:
        predicted &= allowed[:, 1:]
    positions = np.flatnonzero(predicted)
    targets = successors.reshape(-1)[positions]
    batch: dict[str, Any] = {"tokens": inputs, "positions": positions, "targets": targets, "n_targets": len(targets)}
    batch |= {} if segments is None else {"segments": segments[:, :-1]}
    return batch | ({} if times is None else {"times": times[:, :-1]})
