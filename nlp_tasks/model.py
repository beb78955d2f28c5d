"""Encoder, head and output layer: the model of every task on whole texts."""

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
from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.encoder.parts import build
from recsys_bert.objectives.auxiliary import LastLayer, weighed
from recsys_bert.progress import Progress

Loss = Callable[[Tensor], Tensor]
"""``outputs [examples, n_outputs] -> mean loss``."""

Result = TypeVar("Result")

_TOKENS = {"cpu": 2048}  # read at a time without gradients: what stays in the cache is nearly twice as fast
_TOKENS_ELSEWHERE = 65_536


class TextModel(nn.Module):
    """Encoder, head that pools a text's states into a vector, and linear output layer.

    Args:
        encoder: The encoder.
        head: Settings of the head.
        n_outputs: Width of the output; 0: no output layer, the vector is the output.
        pool: Pooling of the windows of a text: ``mean`` or ``max``.
        auxiliary: Add a head and an output layer on the last layer's states, for an auxiliary loss.
    """

    def __init__(
        self, encoder: Encoder, head: HeadConfig, n_outputs: int, pool: str = "mean", *, auxiliary: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.pool, self.n_outputs, self.head_config = encoder, pool, n_outputs, head
        self.head: nn.Module = build("head", head.name, TEXT_HEADS, encoder.out_dim, options=head.options)
        self.dropout = Dropout(head.dropout)
        self.output = _output(self.head, n_outputs)
        self.auxiliary = _Auxiliary(encoder, head, n_outputs) if auxiliary else None

    @property
    def out_dim(self) -> int:
        """Width of the output."""
        width: Any = self.head.out_dim
        return self.n_outputs or int(width)

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
        return encode_batch(self.encoder, batch)

    def on_output(self, encoded: EncoderOutput, owner: Tensor) -> Tensor:
        """Outputs from encoder outputs."""
        return self.output(self.dropout(self._pooled(self.head(encoded.tokens, encoded.mask), owner)))

    def vectors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Vectors of texts ``[examples, dim]``, before the output layer."""
        encoded = self.encode(batch)
        return self._pooled(self.head(encoded.tokens, encoded.mask), batch["owner"])

    def on_last_layer(self, encoded: EncoderOutput, owner: Tensor) -> Tensor | None:
        """Outputs from the last layer's states; None without ``auxiliary``."""
        if self.auxiliary is None:
            return None
        return self.auxiliary.output(self.dropout(self._pooled(self.auxiliary(encoded), owner)))

    def _pooled(self, rows: Tensor, owner: Tensor) -> Tensor:
        """Pool row vectors per example; ``owner`` is sorted and covers 0..n-1."""
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
    """Mean loss of a batch; with ``auxiliary``, weighed with that on the last layer."""
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
    model: nn.Module, inputs: Inputs, read: Callable[[Ints], Result], label: str, unit: str
) -> Iterator[tuple[Ints, Result]]:
    """Read all examples in groups of like length; on CPU, groups side by side with a core each.

    Args:
        model: Put into evaluation mode until the last group is read.
        inputs: The examples.
        read: Called with the examples of a group, in any thread.
        label: Before the progress.
        unit: Name of the examples there.

    Yields:
        The examples of each group, and what ``read`` returned.
    """
    device, was_training = next(model.parameters()).device, model.training
    groups = list(reading_order(inputs, tokens_at_once(device)))

    def read_group(examples: Ints) -> Result:
        with torch.inference_mode():
            return read(examples)

    model.eval()
    try:
        with one_core_each(device, len(groups)) as each, Progress(label, len(inputs), unit) as progress:
            for examples, result in zip(groups, each(read_group, groups), strict=True):
                yield examples, result
                progress.advance(len(examples))
    finally:
        model.train(was_training)


def outputs(
    model: TextModel,
    inputs: Inputs,
    label: str = "reading texts",
    *,
    forward: Callable[[dict[str, Tensor]], Tensor] | None = None,
) -> NDArray[np.float32]:
    """Outputs of every example, in float32 and without gradients; rows of like length are padded together.

    Args:
        model: Put into evaluation mode for the time being.
        inputs: The examples.
        label: Before the progress.
        forward: Outputs of a batch; None: the model's.

    Returns:
        ``[examples, width]``.
    """
    first_row = inputs.first_row
    run: Callable[[dict[str, Tensor]], Tensor] = model if forward is None else forward

    def read(examples: Ints) -> NDArray[np.float32]:
        values: NDArray[np.float32] = run(on_device(model, gather(inputs, first_row, examples))).float().cpu().numpy()
        return values

    table: NDArray[np.float32] | None = None
    for examples, values in without_gradients(model, inputs, read, label, "texts"):
        if table is None:
            table = np.empty((len(inputs), values.shape[1]), np.float32)
        table[examples] = values
    width: Any = model.out_dim if forward is None else model.head.out_dim
    return np.empty((0, width), np.float32) if table is None else table
