"""Text as a feature of a training: from a setting, or from the run that it starts from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recsys_bert.errors import InputError
from recsys_bert.item_texts.training_config import TextTrainingConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.losses.config import LossConfig
    from recsys_bert.training.config import TrainConfig
    from recsys_bert.user_encoder.trained_text import TrainableTextEncoder

TRAINED = "trained"
"""Text by an encoder that is trained with the model."""

TEXT_DIM = 64
"""Width of the feature by default."""


class TrainsText(Protocol):
    """Settings of a training that a text encoder can be part of."""

    @property
    def text_dim(self) -> int:
        """Width of the feature."""

    @property
    def text_training(self) -> TextTrainingConfig:
        """Training of the text encoder."""

    @property
    def loss(self) -> "LossConfig":
        """The loss."""

    @property
    def train(self) -> "TrainConfig":
        """Optimisation."""


def check_text(text: str | None, text_dim: int) -> None:
    """Refuse a width below 1, or one without text.

    Raises:
        InputError: It is.
    """
    if text_dim < 1:
        raise InputError(f"text_dim is {text_dim}; it must be at least 1.")
    if text is None and text_dim != TEXT_DIM:
        raise InputError(f"text_dim is {text_dim}, but text is not given: it has no effect. Leave it out.")


def check_text_training(text: str | None, config: TextTrainingConfig) -> None:
    """Refuse settings of a text encoder that is trained, where none is.

    Raises:
        InputError: There are some.
    """
    if text != TRAINED and config != TextTrainingConfig():
        raise InputError(
            f"text_training.… are settings of a text encoder that is trained, but text is {text!r}. Set text to "
            f"{TRAINED!r}, or leave them out."
        )


def check_text_encoder(text: str | None, text_encoder: Any) -> None:
    """Refuse a text encoder that is not trained, or training of none.

    Raises:
        InputError: It is.
    """
    if text_encoder is not None and text != TRAINED:
        raise InputError(
            f"text_encoder is given, but text is {text!r}: it would not be read. Set text to {TRAINED!r} to train it "
            "with the model; for a frozen one, make item-vectors with it, and give their folder."
        )
    if text == TRAINED and text_encoder is None:
        raise InputError(
            f"text is {TRAINED!r}, but no text encoder is given. Pass text_encoder: a run of `text pretrain` or of a "
            "text task, its encoder, or a Hugging Face folder (in Python nlp_tasks' TextEncoder.load(path))."
        )
    is_path = isinstance(text_encoder, Path)  # of a command, which opens it
    trains = is_path or all(hasattr(text_encoder, name) for name in ("copy", "inputs", "vectors"))
    if text_encoder is not None and not trains:
        raise InputError(
            f"text_encoder is a {type(text_encoder).__name__}, which cannot be trained; give nlp_tasks' "
            "TextEncoder.load(path)."
        )


def with_text(dataset: "ClickDataset", text: str | None, text_dim: int, *artefacts: Path) -> "ClickDataset":
    """A log with the feature ``text``: that of the run that a training starts from, or a new one.

    Args:
        dataset: The log.
        text: The setting.
        text_dim: Width of a new one.
        artefacts: Artefacts of the run that is gone on from, if there is one.

    Raises:
        InputError: The run has a text feature and the setting names another one; or it cannot be made.
    """
    from recsys_bert.item_texts.text_feature import FOLDER, TEXT, fit_text_feature, with_saved_text

    if TEXT in dataset.added_dense:
        return dataset
    saved = next((artefact for artefact in artefacts if (artefact / FOLDER).is_dir()), None)
    if saved is not None:
        if text is not None:
            raise InputError(f"text is {text!r}, but {saved.parent} brings its own; leave it out.")
        return with_saved_text(dataset, saved)
    if text is None:
        return dataset
    return dataset.with_dense(TEXT, fit_text_feature(dataset, text, text_dim))


def with_trained_text(
    dataset: "ClickDataset",
    text_encoder: "TrainableTextEncoder",
    config: TrainsText,
    init: Path | None,
) -> "ClickDataset":
    """A log with the feature ``text`` by an encoder that is trained.

    Args:
        dataset: The log.
        text_encoder: A copy of it is trained.
        config: Settings of the training.
        init: Run that a training starts from.

    Raises:
        InputError: It cannot be made, would encode all items at every step, or the run brings text of its own.
    """
    from recsys_bert.item_texts.text_feature import FOLDER, TEXT
    from recsys_bert.progress import step
    from recsys_bert.user_encoder.trained_text import TrainedText, check_bounded

    check_bounded(config.loss, config.text_training)
    if init is not None and any((init / name / FOLDER).is_dir() for name in ("two_tower", "encoder")):
        raise InputError(f"text is {TRAINED!r}, but {init} brings its own; leave it out.")
    with step("texts of items"):
        source = TrainedText(dataset, text_encoder, config.text_dim, config.text_training, config.train.precision)
    return dataset.with_dense(TEXT, source)


def named_with_text(names: tuple[str, ...], text: str | None) -> tuple[str, ...]:
    """Features with ``text`` at the end, where the setting adds it."""
    return names if text is None or "text" in names else (*names, "text")
