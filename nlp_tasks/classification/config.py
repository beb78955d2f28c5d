"""Settings of text classification. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from typing import Literal

from nlp_tasks.config import HeadConfig, LengthConfig, check_encoder
from nlp_tasks.fine_tuning import FineTuningConfig, check_taught, settle_monitor
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

_TRAIN = TrainConfig(epochs=10, batch_size=64, schedule=ScheduleConfig(name="linear"), patience=3, monitor="auto")

MONITORS = {
    False: ("accuracy", "macro_f1", "f1", "auc"),
    True: ("micro_f1", "macro_f1", "exact", "average_precision"),
}
"""Metrics that pick the best epoch, with one label a text (False) and with several."""


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """Labels, loss and thresholds of a classifier."""

    multi_label: bool = False
    """Any number of labels per text, none included; else exactly one."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class has the same total weight; multi-label: positives of a label weigh as much as negatives."""

    weights: dict[str, float] = field(default_factory=dict)
    """Weight by label, multiplied with ``class_weights``; 1 for a label that is not named."""

    focal_gamma: float = 0.0
    """Exponent of the focal loss; 0 is cross-entropy, 2 is usual."""

    label_smoothing: float = 0.0
    """Share of each target spread over all classes, in [0, 1)."""

    down_sample: float = 0.0
    """Training examples of a class at most per example of the rarest class, sampled every epoch; 0 takes all."""

    thresholds: Literal["per_label", "shared", "half"] = "per_label"
    """multi-label: probability from which on a label is predicted: best F1 on validation per label, or one for all
    labels; or one half."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"task.label_smoothing is {self.label_smoothing}; it must lie in [0, 1).")
        if self.focal_gamma < 0 or any(weight <= 0 for weight in self.weights.values()):
            raise InputError(
                f"task.focal_gamma is {self.focal_gamma} (not negative), weights {self.weights} (above 0 each)."
            )
        if self.thresholds != "per_label" and not self.multi_label:
            raise InputError(
                f"task.thresholds {self.thresholds!r} is for several labels; set task.multi_label as well."
            )
        if self.down_sample and (self.down_sample < 1 or self.multi_label):
            raise InputError(
                f"task.down_sample is {self.down_sample}; it is 0, or at least 1 where texts have one label each."
            )


@dataclass(frozen=True, kw_only=True)
class ClassificationTrainConfig(FineTuningConfig):
    """Settings of a classifier's training."""

    init_layers: tuple[int, ...] = ()
    """Layers of ``init`` to take, from 0; empty takes all. A student may begin with some of its teacher's."""

    length: LengthConfig = field(default_factory=LengthConfig)
    """Treatment of long texts."""

    head: HeadConfig = field(default_factory=HeadConfig)
    """Head: pools a text into one vector."""

    task: ClassificationConfig = field(default_factory=ClassificationConfig)
    """Labels, loss, thresholds."""

    train: TrainConfig = _TRAIN
    """Training loop; the epoch with the best ``monitor`` on validation is kept. ``auto`` monitors accuracy, or micro_f1
    with several labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.encoder, pairs=False)
        if self.init_layers and self.init is None:
            raise InputError("init_layers names layers of a checkpoint; give init as well.")
        if self.length.long == "windows" and self.length.head_share != LengthConfig().head_share:
            raise InputError("length.head_share has no effect on windows of single texts; leave it out.")
        check_taught(self, self.task, ("class_weights", "weights", "focal_gamma", "label_smoothing"))
        settle_monitor(self, MONITORS[self.task.multi_label])
