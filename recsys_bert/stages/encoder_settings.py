"""Settings of an encoder that follow from the data, the objective or a pretrained encoder."""

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError

DERIVED = ("vocab_size", "features", "causal")
"""Encoder settings that follow from the data and the objective."""


def check_derived(encoder: EncoderConfig, trained: EncoderConfig, source: str) -> None:
    """Refuse encoder settings, other than defaults, that the trained encoder has otherwise.

    Args:
        encoder: As given.
        trained: The encoder that is trained.
        source: Origin of its settings, as in "init runs/masked has".

    Raises:
        InputError: There is one.
    """
    for name, default in vars(EncoderConfig()).items():
        value = getattr(encoder, name)
        if value not in (default, getattr(trained, name)):
            raise InputError(f"encoder.{name} is {value}, but {source} {getattr(trained, name)}. Leave it out.")
