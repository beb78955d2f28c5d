"""Span model: logits of an answer's start and end at every position, and the best span."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.inputs import Ints
from nlp_tasks.model import on_device, without_gradients
from nlp_tasks.qa.inputs import Windows
from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.objectives.auxiliary import LastLayer, weighed

NOT_THERE = -1e4  # logit of padding: its probability is 0, and two of them do not differ by inf - inf


class SpanModel(nn.Module):
    """Logits of an answer's start and of its end at every position (https://arxiv.org/abs/1810.04805).

    [CLS] stands for "no answer here".

    Args:
        encoder: The encoder.
        dropout: Probability in [0, 1) on the states.
        auxiliary: Add an output layer on the last layer's states, for an auxiliary loss.
    """

    n_outputs = 2

    def __init__(self, encoder: Encoder, dropout: float, *, auxiliary: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = Dropout(dropout)
        self.output = _output(encoder.out_dim)
        self.auxiliary = _Auxiliary(encoder) if auxiliary else None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits of a batch.

        Args:
            batch: ``tokens`` and ``segments`` ``[rows, seq]``.

        Returns:
            ``[rows, 2, seq]``, start before end; ``NOT_THERE`` on padding.
        """
        return self.on_output(self.encode(batch))

    def encode(self, batch: Mapping[str, Tensor]) -> EncoderOutput:
        """Run the encoder over the rows of a batch."""
        return encode_batch(self.encoder, batch)

    def on_output(self, encoded: EncoderOutput, owner: Tensor | None = None) -> Tensor:
        """Logits from encoder outputs; every row is an example, so ``owner`` is ignored."""
        return _logits(self.output(self.dropout(encoded.tokens)), encoded.mask)

    def on_last_layer(self, encoded: EncoderOutput, owner: Tensor | None = None) -> Tensor | None:
        """Logits from the last layer's states; None without ``auxiliary``."""
        if self.auxiliary is None:
            return None
        return _logits(self.auxiliary.output(self.dropout(self.auxiliary.last(encoded.states[-1]))), encoded.mask)


class _Auxiliary(nn.Module):
    """Output layer on the last layer's states."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.last = LastLayer(encoder)
        self.output = _output(encoder.config.dim)


def _output(width: int) -> nn.Linear:
    output = nn.Linear(width, 2)
    nn.init.zeros_(output.bias)
    return output


def _logits(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.float().masked_fill(~mask[:, :, None], NOT_THERE).transpose(1, 2)


def span_loss(logits: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Mean cross-entropy of the true start and of the true end, each against all positions of its row.

    Args:
        logits: ``[rows, 2, seq]``.
        starts: ``[rows]`` positions; 0 where the window holds no answer.
        ends: ``[rows]`` positions.
    """
    return (F.cross_entropy(logits[:, 0], starts.long()) + F.cross_entropy(logits[:, 1], ends.long())) / 2


class SpanLoss(nn.Module):
    """Cross-entropy of start and end, the loss that ``fit`` minimises.

    Args:
        model: Scores starts and ends.
        auxiliary_weight: Share of the loss on the last layer, where the model has an auxiliary output.
    """

    def __init__(self, model: SpanModel, auxiliary_weight: float = 0.8) -> None:
        super().__init__()
        self.model, self.auxiliary_weight = model, auxiliary_weight

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the windows; ``batch["starts"]`` and ``batch["ends"]`` are ``[rows]``."""
        return self.loss_of(self.model.encode(batch), batch)

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch from encoder outputs."""
        starts, ends = batch["starts"], batch["ends"]
        main, raw = span_loss(self.model.on_output(encoded), starts, ends), self.model.on_last_layer(encoded)
        return main if raw is None else weighed(main, span_loss(raw, starts, ends), self.auxiliary_weight)

    def choices(self, outputs: Tensor) -> Tensor:
        """Logits of the positions, for start and end."""
        return outputs


def best_spans(logits: Tensor, pieces: Tensor, max_answer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Most probable span of each row, start and end being independent.

    Args:
        logits: ``[rows, 2, seq]``.
        pieces: int ``[rows, seq]`` piece of the passage that a position belongs to, 0 for none; a span lies in one.
        max_answer: Most positions of a span.

    Returns:
        Natural logarithm of its probability ``p(start) · p(end)``, start and end, ``[rows]`` each; −inf where the row
        has no passage.
    """
    log_p = logits.float().log_softmax(dim=-1)
    seq = pieces.shape[1]
    band = torch.ones(seq, seq, dtype=torch.bool, device=logits.device).triu().tril(max_answer - 1)
    allowed = band & (pieces[:, :, None] == pieces[:, None, :]) & (pieces > 0)[:, :, None]
    scores = (log_p[:, 0, :, None] + log_p[:, 1, None, :]).masked_fill(~allowed, -torch.inf)
    best, index = scores.flatten(1).max(dim=1)
    return best, index // seq, index % seq


def read(
    model: nn.Module, windows: Windows, max_answer: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Most probable span of every row, without gradients; see ``best_spans``.

    Args:
        model: A ``SpanModel``; put into evaluation mode for the time being.
        windows: The rows.
        max_answer: Most tokens of an answer.
    """
    n = len(windows.question)
    scores, starts, ends = np.full(n, -np.inf), np.zeros(n, np.int64), np.zeros(n, np.int64)

    def spans(rows: Ints) -> tuple[NDArray[Any], ...]:
        values = windows.inputs.gather(rows)
        values["pieces"] = windows.pieces(rows, values["tokens"].shape[1])
        batch = on_device(model, values)
        return tuple(one.cpu().numpy() for one in best_spans(model(batch), batch["pieces"], max_answer))

    for rows, spans_of_rows in without_gradients(model, windows.inputs, spans, "reading passages", "windows"):
        scores[rows], starts[rows], ends[rows] = spans_of_rows
    return scores, starts, ends
