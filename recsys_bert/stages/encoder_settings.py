"""Checks of the settings of trained encoders, which pretraining and two towers share."""

from pathlib import Path

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.training.config import OptimiserConfig

DERIVED = ("vocab_size", "features", "attention")
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


def check_not_overridden(names: frozenset[str], init: Path | None, advice: str = "") -> None:
    """Refuse named settings that a pretrained encoder brings.

    Args:
        names: Settings that were named, whatever their values.
        init: Its run; None: nothing is overridden.
        advice: Ends the message.

    Raises:
        InputError: There is one.
    """
    overridden = [name for name in names if name.startswith("encoder.") or name in ("features", "size")]
    if init and overridden:
        raise InputError(f"{min(overridden)} comes from init {init}; leave it out, or leave out init.{advice}")


def check_sparse_adam(optimiser: OptimiserConfig, loss: LossConfig) -> None:
    """Refuse row-wise updates of an item table that the loss reads as a whole.

    Raises:
        InputError: It does.
    """
    if optimiser.sparse_adam and not loss.samples:
        raise InputError(f"train.optimiser.sparse_adam is for sampled losses; loss.name {loss.name!r} reads all items.")


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
