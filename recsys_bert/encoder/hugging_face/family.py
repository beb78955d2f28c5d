"""A family of checkpoints: names of its weights and settings, beside ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Weights = dict[str, Tensor]
Json = Mapping[str, Any]

ACTIVATIONS: Mapping[str, str] = {
    "gelu": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Theirs → ours."""


def nothing(theirs: Json) -> dict[str, bool]:
    """Refuse nothing."""
    return {}


def as_they_are(weights: Weights, theirs: Json) -> Weights:
    """Change nothing."""
    return weights


@dataclass(frozen=True, kw_only=True)
class Family:
    """Names and settings of a family; weight names are theirs without ``prefix``."""

    prefix: str
    """Prefix of the encoder's weights in models with a head; its class names begin alike (``BertForMaskedLM``)."""

    settings: Callable[[Json], dict[str, Any]]
    """``EncoderConfig`` fields of a ``config.json``; a missing size is a KeyError."""

    embeddings: Mapping[str, str]
    """Ours, below ``embeddings.``, → theirs; those that a model lacks are left out."""

    layer: Mapping[str, str]
    """Ours, below ``layers.n.``, → theirs, below ``layer_path``; each with weight and bias."""

    layer_weights: Mapping[str, str] = field(default_factory=dict)
    """As ``layer``, but whole names, not weight and bias."""

    qkv: tuple[str, str, str]
    """Their linear maps of query, key and value, below ``layer_path``; one ``attention.qkv`` here."""

    layer_path: str = "encoder.layer.{n}."
    """Path of layer n; without ``{n}`` all layers are one."""

    final_norm: str = ""
    """Their norm after the last layer; empty if there is none."""

    appends_padding: bool = False
    """True if their table may have no row of padding, which is then appended."""

    masked_head: Mapping[str, str]
    """Masked-token head, ours → theirs: ``dense``, ``norm`` (each with weight and bias) and ``bias``; empty: none."""

    masked_activation: Callable[[Json], str]
    """Activation of that head, by their name."""

    prepare: Callable[[Weights, Json], Weights] = as_they_are
    """Bring weights into the shape that the tables expect, such as positions from 0."""

    unsupported: Callable[[Json], dict[str, bool]] = nothing
    """Reasons to refuse a ``config.json`` → True where they hold."""

    pad_row: int = 0
    """Row of padding where ``config.json`` names none."""


def after_padding(weights: Weights, first: int) -> Weights:
    """Drop the position rows that padding uses, so that positions count from 0.

    Args:
        weights: Theirs.
        first: Position of the first token.
    """
    name = "embeddings.position_embeddings.weight"
    return weights | {name: weights[name][first:]} if name in weights else weights
