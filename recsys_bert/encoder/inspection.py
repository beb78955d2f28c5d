"""Look inside an encoder: attention of every layer and head, weights of the fusion, states."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recsys_bert.encoder.model import Encoder, EncoderOutput


@dataclass(frozen=True)
class Inspection:
    """Inner values of one forward pass."""

    output: EncoderOutput
    """Outputs and states of all layers."""

    attention: tuple[Tensor | None, ...]
    """Weights of each layer, ``[batch, n_heads, seq, seq]``, query by key; None of a layer that has no such matrix."""

    fusion: Tensor | None
    """Weight of each state at each position, ``[batch, seq, n_layers + 1]``; None of a fusion without weights."""

    missing: tuple[str, ...]
    """Reasons, by name, for what is None."""


@torch.no_grad()
def inspect_encoder(encoder: Encoder, tokens: Tensor, **inputs: Any) -> Inspection:
    """Encode a batch and note what happens inside; the outputs are those of the encoder itself.

    Args:
        encoder: The encoder, in evaluation mode.
        tokens: See ``Encoder.forward``.
        inputs: Its other arguments.
    """
    attention: list[Tensor | None] = []

    def note(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        weights = getattr(layer, "attention_weights", None)
        attention.append(None if weights is None else weights(*arguments))

    handles = [layer.register_forward_pre_hook(note) for layer in encoder.layers]
    try:
        output: EncoderOutput = encoder(tokens, **inputs)
    finally:
        for handle in handles:
            handle.remove()
    fusion, missing = _fusion_weights(encoder, output.states), []
    if None in attention:
        layer = encoder.layers[attention.index(None) % len(encoder.layers)]
        about = (sys.modules[type(layer).__module__].__doc__ or "").partition("\n")[0]
        missing.append(
            f"layer {encoder.config.layer!r} has no attention matrix whose rows sum to 1: {about}".rstrip(" .:")
        )
    if fusion is None:
        missing.append(f"fusion {encoder.config.fusion!r} has no weights of layers")
    return Inspection(output, tuple(attention), fusion, tuple(missing))


def through_layers(encoder: Encoder, output: EncoderOutput) -> list[Tensor]:
    """Encoder output as it would be if each state were the fused one: ``n_layers + 1`` of ``[batch, seq, out_dim]``.

    The logit lens (nostalgebraist, 2020): norm and neck are those after the fusion.
    """
    tokens = []
    for state in output.states:
        x = encoder.norm(state)
        tokens.append(x if encoder.neck is None else encoder.neck(x, output.mask))
    return tokens


def _fusion_weights(encoder: Encoder, states: Sequence[Tensor]) -> Tensor | None:
    weigh = getattr(encoder.fusion, "weights", None)
    if weigh is None:
        return None
    weights: Tensor = weigh(states)
    batch, seq, _ = states[0].shape
    weights = weights.expand(batch, seq, weights.shape[-1])
    return torch.nn.functional.pad(weights, (len(states) - weights.shape[-1], 0))  # some leave out the embeddings
