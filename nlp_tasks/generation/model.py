"""Loss and likelihood of true targets."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_tasks.batches import gather
from nlp_tasks.generation.rows import Rows
from nlp_tasks.inputs import Ints
from nlp_tasks.model import on_device, without_gradients
from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction, at

_AT_ONCE = 1024  # positions scored against the vocabulary at a time


class GenerationLoss(nn.Module):
    """Cross-entropy of each target token given what is before it, which ``fit`` minimises.

    Args:
        encoder: With prefix or causal attention.
        auxiliary: Weight of the same loss on the last layer; 0: none.
    """

    def __init__(self, encoder: Encoder, auxiliary: float) -> None:
        super().__init__()
        self.prediction = TokenPrediction(encoder, LossConfig(), first_row=0, auxiliary=auxiliary or None)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the tokens from position ``first [rows]`` on."""
        batch = with_targets(batch)
        return self.prediction.loss_of(encode(self.prediction.encoder, batch), batch)


def encode(encoder: Encoder, batch: Mapping[str, Tensor]) -> EncoderOutput:
    """Encoder outputs of a batch; what comes before the first target is the prefix, where there is one."""
    prefix = {"prefix": batch["first"]} if encoder.config.attention == "prefix" else {}
    return encode_batch(encoder, {**batch, **prefix})


def with_targets(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Batch with ``targets [n]``, the tokens from ``first [rows]`` on, and ``positions [n]``, those before them."""
    tokens = batch["tokens"]
    predicted = (torch.arange(tokens.shape[1], device=tokens.device) >= batch["first"][:, None]) & (tokens != 0)
    index = predicted.flatten().nonzero()[:, 0]
    return {**batch, "positions": index - 1, "targets": tokens.flatten()[index]}


def token_metrics(encoder: Encoder, rows: Rows) -> dict[str, float]:
    """Metrics of the true targets.

    Returns:
        ``perplexity`` a token, the one that ends each target included; ``log_likelihood``, its negative logarithm, in
        nats; ``accuracy`` of the most probable token.
    """
    inputs, first = rows
    first_row, table = inputs.first_row, encoder.embeddings.token.weight

    def read(examples: Ints) -> tuple[float, int, int]:
        values = gather(inputs, first_row, examples) | {"first": first[examples].astype(np.int64)}
        batch = with_targets(on_device(encoder, values))
        hidden = encoder.project(at(encode(encoder, batch).tokens, batch["positions"]))
        total, right = 0.0, 0
        for part, targets in zip(hidden.split(_AT_ONCE), batch["targets"].long().split(_AT_ONCE), strict=True):
            logits = (part @ table.T).float()
            total -= float(F.cross_entropy(logits, targets, reduction="sum"))
            right += int((logits.argmax(1) == targets).sum())
        return total, right, len(hidden)

    sums = np.zeros(3)
    for _, counts in without_gradients(encoder, inputs, read, "evaluating tokens", "texts"):
        sums += counts
    log_likelihood = sums[0] / sums[2]
    return {
        "perplexity": float(np.exp(-log_likelihood)),
        "log_likelihood": float(log_likelihood),
        "accuracy": float(sums[1] / sums[2]),
    }
