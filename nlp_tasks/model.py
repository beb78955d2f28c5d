"""Encoder, head and output layer: what every task on whole texts trains."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.batches import gather, reading_order
from nlp_tasks.config import HeadConfig
from nlp_tasks.heads import TEXT_HEADS
from nlp_tasks.inputs import Inputs, Ints
from recsys_bert.devices import one_core_each
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.encoder.parts import build
from recsys_bert.objectives.auxiliary import LastLayer, weighed
from recsys_bert.progress import Progress

Loss = Callable[[Tensor], Tensor]
"""``outputs [examples, n_outputs] -> mean loss``."""

Found = TypeVar("Found")

_TOKENS = {"cpu": 2048}  # read at a time without gradients: what stays in the cache is nearly twice as fast
_TOKENS_ELSEWHERE = 65_536


class TextModel(nn.Module):
    """Vectors of texts, and what an output layer makes of them.

    Args:
        encoder: The encoder.
        head: What makes one vector of a text's states.
        n_outputs: Numbers per example; 0 has no output layer, and the vector is the output.
        pool: How the vectors of an example's windows become one: ``mean`` or ``max``.
        auxiliary: Also learn from the last layer as it is, through a head and an output layer of its own.
    """

    def __init__(
        self, encoder: Encoder, head: HeadConfig, n_outputs: int, pool: str = "mean", *, auxiliary: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.pool, self.n_outputs = encoder, pool, n_outputs
        self.head: nn.Module = build("head", head.name, TEXT_HEADS, encoder.out_dim, options=head.options)
        self.dropout = Dropout(head.dropout)
        self.output = _output(self.head, n_outputs)
        self.auxiliary = _Auxiliary(encoder, head, n_outputs) if auxiliary else None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Outputs of a batch.

        Args:
            batch: ``tokens`` and ``segments`` ``[rows, seq]``, and ``owner [rows]``, the example of each row.

        Returns:
            ``[examples, n_outputs]``, or ``[examples, out_dim]`` vectors without an output layer.
        """
        return self.on_output(self.encode(batch), batch["owner"])

    def encode(self, batch: Mapping[str, Tensor]) -> EncoderOutput:
        """Run the encoder over the rows of a batch."""
        segments = batch["segments"] if self.encoder.config.n_segments > 1 else None
        encoded: EncoderOutput = self.encoder(batch["tokens"], segments=segments)
        return encoded

    def on_output(self, encoded: EncoderOutput, owner: Tensor) -> Tensor:
        """Outputs, by what the encoder gives."""
        return self.output(self.dropout(self._pooled(self.head(encoded.tokens, encoded.mask), owner)))

    def on_last_layer(self, encoded: EncoderOutput, owner: Tensor) -> Tensor | None:
        """Outputs by the last layer as it is; None without ``auxiliary``."""
        if self.auxiliary is None:
            return None
        return self.auxiliary.output(self.dropout(self._pooled(self.auxiliary(encoded), owner)))

    def _pooled(self, rows: Tensor, owner: Tensor) -> Tensor:
        """One vector an example of one vector a row; ``owner`` is ascending and leaves nobody out."""
        examples = int(owner[-1]) + 1
        if examples == len(owner):
            return rows
        reduce = "amax" if self.pool == "max" else "mean"
        index = owner[:, None].expand_as(rows)
        return rows.new_zeros(examples, rows.shape[1]).scatter_reduce(0, index, rows, reduce, include_self=False)


class _Auxiliary(nn.Module):
    """Head and output layer on the last layer's states."""

    def __init__(self, encoder: Encoder, head: HeadConfig, n_outputs: int) -> None:
        super().__init__()
        self.last = LastLayer(encoder)
        self.head: nn.Module = build("head", head.name, TEXT_HEADS, encoder.config.dim, options=head.options)
        self.output = _output(self.head, n_outputs)

    def forward(self, encoded: EncoderOutput) -> Tensor:
        """One vector a row."""
        return self.head(self.last(encoded.states[-1]), encoded.mask)


def _output(head: nn.Module, n_outputs: int) -> nn.Module:
    width: Any = head.out_dim
    if not n_outputs:
        return nn.Identity()
    output = nn.Linear(width, n_outputs)
    nn.init.zeros_(output.bias)
    return output


def task_loss(
    model: TextModel, encoded: EncoderOutput, batch: Mapping[str, Tensor], loss: Loss, auxiliary_weight: float
) -> Tensor:
    """Mean loss of a batch, on the outputs alone or, with ``auxiliary``, on those of the last layer beside them."""
    main, raw = model.on_output(encoded, batch["owner"]), model.on_last_layer(encoded, batch["owner"])
    return loss(main) if raw is None else weighed(loss(main), loss(raw), auxiliary_weight)


def tokens_at_once(device: torch.device) -> int:
    """Tokens to read at a time without gradients."""
    return _TOKENS.get(device.type, _TOKENS_ELSEWHERE)


def on_device(model: nn.Module, values: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """A batch where the model is."""
    device = next(model.parameters()).device
    return {name: torch.from_numpy(value).to(device) for name, value in values.items()}


def without_gradients(
    model: nn.Module, inputs: Inputs, read: Callable[[Ints], Found], label: str, unit: str
) -> Iterator[tuple[Ints, Found]]:
    """Read all examples in groups of like length; on CPU, groups side by side with a core each.

    Args:
        model: Put into evaluation mode until the last group is read.
        inputs: The examples.
        read: What is done with some of them, in any thread.
        label: Shown before the progress.
        unit: What an example is called there.

    Yields:
        The examples of each group, and what ``read`` returned.
    """
    device, was_training = next(model.parameters()).device, model.training
    groups = list(reading_order(inputs, tokens_at_once(device)))

    def read_group(examples: Ints) -> Found:
        with torch.inference_mode():
            return read(examples)

    model.eval()
    try:
        with one_core_each(device, len(groups)) as each, Progress(label, len(inputs), unit) as progress:
            for examples, found in zip(groups, each(read_group, groups), strict=True):
                yield examples, found
                progress.advance(len(examples))
    finally:
        model.train(was_training)


def outputs(model: nn.Module, inputs: Inputs, label: str = "reading texts") -> NDArray[np.float32]:
    """Outputs of every example, in float32 and without gradients; nothing is computed for padding that need not be.

    Args:
        model: Of the form of ``TextModel``; put into evaluation mode for the time being.
        inputs: The examples.
        label: Shown before the progress.

    Returns:
        ``[examples, width]``.
    """
    first_row = inputs.first_row

    def read(examples: Ints) -> NDArray[np.float32]:
        got: NDArray[np.float32] = model(on_device(model, gather(inputs, first_row, examples))).float().cpu().numpy()
        return got

    found: NDArray[np.float32] | None = None
    for examples, got in without_gradients(model, inputs, read, label, "texts"):
        if found is None:
            found = np.empty((len(inputs), got.shape[1]), np.float32)
        found[examples] = got
    return np.empty((0, 0), np.float32) if found is None else found
