"""Settings of an encoder that follow from the data, the objective or a pretrained encoder."""

from pathlib import Path

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


def check_id_dropout(id_dropout: float, features: tuple[str, ...], init: Path | None) -> None:
    """Refuse an ``id_dropout`` out of range, or of an encoder that reads no features of items.

    Args:
        id_dropout: The setting.
        features: Features of positions.
        init: Run whose encoder brings its own.

    Raises:
        InputError: It is.
    """
    if not 0 <= id_dropout < 1:
        raise InputError(f"id_dropout is {id_dropout}; it must lie in [0, 1).")
    if id_dropout and init is None and not set(features) - {"event_type"}:
        raise InputError(
            f"id_dropout is {id_dropout}, but without features nothing would be left of an item. Name features of "
            "items, or leave it out."
        )
