"""Your own pretraining objective: inputs and targets of a batch, and how a history is asked at test time."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import recsys_bert as rb
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate
from recsys_bert.objectives.sequences import Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction


@dataclass(frozen=True, kw_only=True)
class MaskedEnd:
    """Mask one of the last ``n`` items of every history, as at test time, where the next one is masked."""

    attention: ClassVar[str] = "bidirectional"
    appends_mask: ClassVar[bool] = True
    extra_events: ClassVar[int] = 0

    n: int = 3

    def make_batch(self, sequences: Sequences, table: TokenTable, random: np.random.Generator) -> dict[str, Any]:
        """Replace one item of each row by the mask; it is the target."""
        rows = np.arange(len(sequences.tokens))
        column = sequences.lengths - 1 - random.integers(0, np.minimum(self.n, sequences.lengths))
        known = sequences.predictable[rows, column]  # unknown items are context, never a target
        rows, column = rows[known], column[known]
        targets, tokens = sequences.tokens[rows, column], sequences.tokens.copy()
        tokens[rows, column] = table.mask
        positions = rows * tokens.shape[1] + column
        batch = {"tokens": tokens, "positions": positions, "targets": targets, "n_targets": len(targets)}
        return batch | sequences.target_weights(positions)

    def module(self, prediction: TokenPrediction) -> TokenPrediction:
        """Train the prediction itself: nothing stands beside the encoder."""
        return prediction


def main() -> "rb.Recommender":
    """Pretrain with it; returns the recommender."""
    dataset = rb.prepare(simulate(SimulateConfig(users=200, items=200, max_events=100)).clicks)
    model = rb.pretrain(
        dataset,
        objective=f"{__name__}:MaskedEnd",
        objective_options={"n": 2},
        encoder={"dim": 16, "max_len": 20},
        train={"epochs": 2},
    )
    print(model.recommend(users=[1], k=3))
    return model


if __name__ == "__main__":
    main()
