"""Settings of fine-tuning, and what they refuse. Plain values: importing this is instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from nlp_tasks.config import DERIVED, SIZES, TEXT_ENCODER, TokenizerConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.training.config import TrainConfig

Settings = TypeVar("Settings", bound="FineTuningConfig")


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig:
    """Settings of every text task's training."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = SIZES

    init: Path | None = None
    """Hugging Face folder, or run of `text pretrain` or of another text task, whose encoder and tokenizer are
    loaded; None starts from random weights and trains a tokenizer."""

    teacher: Path | None = None
    """Run of the same task and vocabulary, usually with a larger encoder, to learn from as well."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Tokenizer, where ``init`` brings none."""

    encoder: EncoderConfig = TEXT_ENCODER
    """Encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing, and the
    input features to add: exact_match, ngrams."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """Losses taken from the teacher."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Training loop; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        self.distillation.check_beside(self.teacher, {"train.auxiliary": self.train.auxiliary.weight})

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse named settings that have no effect, though they be defaults.

        Raises:
            InputError: There is one.
        """
        check_named_encoder(self, names)
        self.distillation.check_named_beside(self.teacher, names)


class _FineTuned(Protocol):
    """Settings of a training that may start from a pretrained encoder."""

    @property
    def init(self) -> Path | None:
        """The pretrained encoder."""

    @property
    def encoder(self) -> EncoderConfig:
        """The encoder."""

    @property
    def tokenizer(self) -> TokenizerConfig:
        """The tokenizer."""


def check_named_encoder(config: _FineTuned, names: frozenset[str]) -> None:
    """Refuse named settings of encoder and tokenizer that have no effect, though they be defaults.

    Args:
        config: The settings.
        names: Those that were named.

    Raises:
        InputError: One follows from the data, or is another in ``init``.
    """
    if derived := [name for name in DERIVED if f"encoder.{name}" in names]:
        raise InputError(f"encoder.{derived[0]} follows from the data or has no effect on texts; leave it out.")
    if config.tokenizer.folder is not None and "tokenizer.lowercase" in names:
        raise InputError("tokenizer.folder is a trained tokenizer; leave out tokenizer.lowercase, which trains one.")
    if config.init is None:
        return
    if "size" in names:
        raise InputError(f"size sets an encoder, which comes from init {config.init}; leave it out, or leave out init.")
    named = any(name.startswith(("encoder.", "tokenizer.")) for name in names)
    if named and config.init.exists():  # else the training says so, and a recipe may wait for its init
        from nlp_tasks.encoders import check_named_beside_init

        check_named_beside_init(config.init, config.encoder, config.tokenizer, names)


def check_monitor(train: TrainConfig, known: Sequence[str]) -> None:
    """Refuse a monitor that is neither ``auto`` nor validated.

    Raises:
        InputError: It is another one.
    """
    if train.monitor not in ("auto", *known):
        raise InputError(f"train.monitor is {train.monitor!r}; this task validates {', '.join(known)}.")


def check_taught(config: "FineTuningConfig", task: Any, of_targets: Sequence[str]) -> None:
    """Refuse settings of the loss of true targets where the teacher's predictions replace it.

    Args:
        config: All settings.
        task: Those of the task.
        of_targets: Names of the latter that the loss of true targets alone reads.

    Raises:
        InputError: One is set.
    """
    for name in of_targets if config.distillation.replaces_targets(config.teacher) else ():
        if (value := getattr(task, name)) != getattr(type(task)(), name):
            raise InputError(
                f"task.{name} is {value!r}, but distillation.soft_weight 1 drops the loss of true targets."
            )


def settle_monitor(config: "FineTuningConfig", known: Sequence[str]) -> None:
    """Replace the monitor ``auto`` by the first metric that the task validates; called while a config is built.

    Raises:
        InputError: See ``check_monitor``.
    """
    check_monitor(config.train, known)
    if config.train.monitor == "auto":  # so that a run's settings name the metric
        object.__setattr__(config, "train", replace(config.train, monitor=known[0]))


def with_monitor(config: Settings, known: Sequence[str]) -> Settings:
    """Copy of a config with ``settle_monitor`` applied."""
    settled = replace(config)
    settle_monitor(settled, known)
    return settled
