"""Settings of text matching. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from typing import Literal

from nlp_tasks.config import HeadConfig, LengthConfig, check_encoder
from nlp_tasks.fine_tuning import FineTuningConfig, check_monitor, check_taught
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

_TRAIN = TrainConfig(epochs=10, batch_size=64, schedule=ScheduleConfig(name="linear"), patience=3, monitor="auto")

LABEL_MONITORS, SEARCH_MONITORS = ("accuracy", "f1", "auc"), ("hit@1", "hit@10", "mrr")
"""Metrics that pick the best epoch: on labels, and of a bi-encoder's search."""


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """Form, loss and threshold of a matcher."""

    form: Literal["cross", "bi"] = "cross"
    """cross: cross-encoder, reads both texts together, more exact; bi: bi-encoder, one vector a text, which can be
    indexed, compared by cosine."""

    loss: Literal["labels", "in_batch", "ranking"] = "labels"
    """labels: cross-entropy on labels. For bi also in_batch: softmax over all second texts of the batch; and ranking:
    every match must have a higher cosine than every other pair of the batch (CoSENT)."""

    temperature: float = 0.05
    """Divides cosines; for in_batch, ranking, and distillation of a bi-encoder."""

    swap: bool = False
    """Sample the order of each pair in every epoch; for cross, whose output depends on it."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: matches have the same total weight as other pairs; for labels."""

    focal_gamma: float = 0.0
    """Exponent of the focal loss; 0 is cross-entropy. For labels."""

    label_smoothing: float = 0.0
    """Share of each target spread over yes and no, in [0, 1); for labels."""

    threshold: Literal["accuracy", "f1"] = "accuracy"
    """Metric that the threshold on the similarity maximises on validation."""

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.focal_gamma < 0 or not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"task.temperature is {self.temperature} (above 0), focal_gamma {self.focal_gamma} (not negative), "
                f"label_smoothing {self.label_smoothing} (in [0, 1))."
            )
        if self.form == "cross" and self.loss != "labels":
            raise InputError(f"task.loss {self.loss!r} compares vectors; take task.form 'bi', or task.loss 'labels'.")
        if self.form == "bi" and self.swap:
            raise InputError("task.swap has no effect on task.form 'bi', which reads each text by itself.")
        if self.form == "cross" and self.temperature != 0.05:
            raise InputError("task.temperature has no effect on task.form 'cross', which has no cosines; leave it out.")
        for name in ("class_weights", "focal_gamma", "label_smoothing"):
            if self.loss != "labels" and getattr(self, name) not in ("none", 0):
                raise InputError(f"task.{name} is {getattr(self, name)!r}, but task.loss {self.loss!r} has no labels.")


@dataclass(frozen=True, kw_only=True)
class MatchingTrainConfig(FineTuningConfig):
    """Settings of a matcher's training."""

    length: LengthConfig = field(default_factory=LengthConfig)
    """Treatment of long texts."""

    head: HeadConfig = field(default_factory=HeadConfig)
    """Head: pools a text, or a pair, into one vector."""

    task: MatchingConfig = field(default_factory=MatchingConfig)
    """Form, loss, threshold."""

    train: TrainConfig = _TRAIN
    """Training loop; the epoch with the best ``monitor`` on validation is kept. ``auto`` monitors accuracy, or mrr
    where pairs have no labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.encoder, pairs=self.task.form == "cross")
        if self.task.form == "bi" and self.length.long == "windows" and self.length.head_share != 0.25:
            raise InputError("length.head_share has no effect on windows of single texts; leave it out.")
        check_taught(self, self.task, ("class_weights", "focal_gamma", "label_smoothing"))
        if self.distillation.replaces_targets(self.teacher) and self.task.loss == "ranking":
            raise InputError("task.loss 'ranking' has no effect: distillation.soft_weight 1 drops it. Leave it out.")
        if (
            self.task.loss == "labels"
            and self.task.temperature != MatchingConfig().temperature
            and self.teacher is None
        ):
            raise InputError("task.temperature has no effect on task.loss 'labels' without a teacher; leave it out.")
        check_monitor(self.train, monitors(self.task, labelled=True))


def monitors(task: MatchingConfig, *, labelled: bool) -> tuple[str, ...]:
    """Metrics that a matcher validates, the default one first.

    Args:
        task: Its form.
        labelled: Whether pairs have labels; without, all are matches.
    """
    return (*(LABEL_MONITORS if labelled else ()), *(SEARCH_MONITORS if task.form == "bi" else ()))


def check_labelled(task: MatchingConfig, *, labelled: bool) -> None:
    """Refuse settings that need labels where there are none.

    Raises:
        InputError: They do.
    """
    if labelled:
        return
    if task.loss != "in_batch":
        raise InputError(f"task.loss {task.loss!r} needs labels; give them, or take in_batch with form bi.")
    if task.threshold != "accuracy":
        raise InputError("task.threshold is tuned on labels, and there are none; leave it out.")
