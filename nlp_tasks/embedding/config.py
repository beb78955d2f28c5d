"""Settings of training sentence vectors. Plain values: importing this is instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from nlp_tasks.config import SIZES, TEXT_ENCODER, HeadConfig, LengthConfig, TokenizerConfig, check_encoder
from nlp_tasks.fine_tuning import check_monitor, check_named_encoder
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

Loss = Literal["simcse", "in_batch", "cosent", "cosine"]

GRADE_MONITORS, SEARCH_MONITORS = ("spearman", "pearson"), ("mrr", "hit@1", "hit@10")
"""Metrics that pick the best epoch: on pairs with grades, and on pairs without, each of which is a match."""

_TRAIN = TrainConfig(epochs=10, batch_size=64, schedule=ScheduleConfig(name="linear"), patience=3, monitor="auto")


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """Loss of sentence vectors."""

    loss: Literal["auto", "simcse", "in_batch", "cosent", "cosine"] = "auto"
    """simcse: a text read twice under two dropouts is a positive pair, other texts of the batch are negatives; no
    labels. in_batch: the same of pairs that match, also against hard negatives. cosent: a pair of a higher grade has a
    higher cosine than one of a lower grade. cosine: the cosine is regressed on the grade. auto: simcse for texts alone,
    in_batch for pairs without grades, else cosent."""

    temperature: float = 0.05
    """Divides cosines; not for cosine."""

    positive_from: float | None = None
    """in_batch: grade from which on a pair is positive; None: the higher one of two grades, entailment of inference."""

    hard_negatives: bool = True
    """in_batch: pairs of the lowest grade are negatives of their first text; positives without one get a second text
    at random. False leaves them out."""

    grade_range: tuple[float, float] | None = None
    """cosine: grades of the cosines 0 and 1; None: lowest and highest training grade."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"task.temperature is {self.temperature}; it must be above 0.")
        if self.grade_range is not None and not self.grade_range[0] < self.grade_range[1]:
            raise InputError(f"task.grade_range is {self.grade_range}; the lower grade comes first.")
        read = {"temperature": ("simcse", "in_batch", "cosent", "auto"), "grade_range": ("cosine",)}
        read |= dict.fromkeys(("positive_from", "hard_negatives"), ("in_batch",))
        for name, losses in read.items():
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default and self.loss not in losses:
                raise InputError(f"task.{name} has no effect on task.loss {self.loss!r}; it is for {losses[0]}.")

    def settled(self, *, pairs: bool, graded: bool) -> Loss:
        """Loss for some training data.

        Raises:
            InputError: The loss needs pairs, or grades, and there are none.
        """
        if self.loss == "auto":
            return "simcse" if not pairs else "cosent" if graded else "in_batch"
        if self.loss != "simcse" and not pairs:
            raise InputError(f"task.loss {self.loss!r} learns from pairs; give second texts, or take simcse.")
        if self.loss in ("cosent", "cosine") and not graded:
            raise InputError(f"task.loss {self.loss!r} learns from grades; give them, or take in_batch.")
        return self.loss


@dataclass(frozen=True, kw_only=True)
class EmbeddingTrainConfig:
    """Settings of ``TextEncoder.train``."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = SIZES

    init: Path | None = None
    """Folder of Hugging Face or sentence-transformers, or run of any text task, whose encoder, tokenizer and, if it has
    one, pooling are loaded; None starts from random weights and trains a tokenizer."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Tokenizer, where ``init`` brings none."""

    encoder: EncoderConfig = TEXT_ENCODER
    """Encoder; with ``init``, its fusion (of layers, before the pooling), neck, residual form, dropout, layer_drop and
    gradient_checkpointing, and the input features to add: ngrams."""

    length: LengthConfig = field(default_factory=LengthConfig)
    """Treatment of long texts."""

    head: HeadConfig = field(default_factory=lambda: HeadConfig(name="mean", dropout=0.0))
    """Pooling of the states; the default is replaced by the pooling of ``init``, where that has one."""

    task: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    """Loss."""

    train: TrainConfig = _TRAIN
    """Training loop; the epoch with the best ``monitor`` on validation is kept, the last one without validation.
    ``auto`` monitors spearman, or mrr where pairs have no grades."""

    def __post_init__(self) -> None:
        check_encoder(self.encoder, pairs=False)
        check_monitor(self.train, (*GRADE_MONITORS, *SEARCH_MONITORS))
        if self.train.batch_size < 2 and self.task.loss != "cosine":
            raise InputError("train.batch_size is 1: a batch of one text or pair has nothing to compare it with.")
        if self.length.long == "windows" and self.length.head_share != 0.25:
            raise InputError("length.head_share has no effect on windows of single texts; leave it out.")

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse named settings that have no effect, though they be defaults.

        Raises:
            InputError: There is one.
        """
        check_named_encoder(self, names)


def monitors(*, graded: bool) -> tuple[str, ...]:
    """Metrics that are validated, the default one first."""
    return GRADE_MONITORS if graded else SEARCH_MONITORS
