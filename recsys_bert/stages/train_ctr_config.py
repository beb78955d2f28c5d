"""Settings of training a CTR model. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from typing import Any

from recsys_bert.ctr.baselines import CTR_BASELINES
from recsys_bert.ctr.config import MEANS, CTRConfig
from recsys_bert.ctr.pretrain_config import FieldPretrainConfig
from recsys_bert.ctr.split_config import TimeSplitConfig
from recsys_bert.encoder.parts import check_name
from recsys_bert.errors import InputError
from recsys_bert.stages.text_feature import TEXT_DIM, check_text
from recsys_bert.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TrainCTRConfig(CTRConfig):
    """Settings of ``train_ctr``."""

    split: TimeSplitConfig = field(default_factory=TimeSplitConfig)
    """Where impressions are cut by time; not with validation impressions of their own."""

    text: str | None = None
    """Text of the prepared log's items as a field ``item.text``: ``tfidf``, ``words``, or a folder of `item-vectors`;
    reduced by PCA to ``text_dim``. The run keeps what it needs."""

    text_dim: int = TEXT_DIM
    """Width of that field's numbers."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_size=1024, patience=3, monitor="auc"))
    """Optimisation; the epoch of the best validation AUC is kept, with several labels of the best mean. ``monitor``
    may be ``log_loss``, or one label's metric as in ``buy.auc``."""

    pretrain: FieldPretrainConfig = field(default_factory=FieldPretrainConfig)
    """Pretraining on the fields of all training impressions, before their labels."""

    train_fraction: float = 1.0
    """Share of the training impressions that are learned from, drawn by train.seed: labels are few, while histories,
    ``model.item_init`` and a pretrained encoder keep all events of the log. In (0, 1]."""

    baselines: tuple[str, ...] = ()
    """Baselines fitted on the same training impressions and shown beside the model: names in ``CTR_BASELINES``, or
    ``module:Class``. ppmi_linear is logistic regression over PPMI vectors of target and views."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text(self.text, self.text_dim)
        if self.text is not None and not self.features.item_side:
            raise InputError(f"text is {self.text!r}, but features.item_side is off, which reads it. Leave one out.")
        for name in self.baselines:
            check_name("CTR baseline", name, CTR_BASELINES)
        if not 0 < self.train_fraction <= 1:
            raise InputError(f"train_fraction is {self.train_fraction}; it must lie in (0, 1].")
        prefixes = ["", *(f"{label}." for label in self.columns.labels)]
        if self.train.monitor not in (known := [prefix + name for prefix in prefixes for name in MEANS]):
            raise InputError(f"train.monitor is {self.train.monitor!r}; this training validates {', '.join(known)}.")
        if self.columns.user is None and self.train.monitor.endswith("gauc"):
            raise InputError("train.monitor is 'gauc', the AUC within users, but columns.user names no column. Set it.")
        if self.train.auxiliary.weight:
            raise InputError(
                "train.auxiliary.weight is for encoders that predict items or labels themselves; leave it out."
            )
        if self.train.optimiser.layer_decay != 1 and not self.model.fine_tuned:
            raise InputError(
                f"train.optimiser.layer_decay is {self.train.optimiser.layer_decay}, but no encoder is "
                "trained here. Leave it out, or give an encoder and model.encoder_mode = 'fine_tuned'."
            )

    def check_inputs(self, validation: Any, test: Any, has_dataset: bool) -> None:
        """Check that the impressions can be cut by time, or come with validation impressions.

        Args:
            validation: Validation impressions or None.
            test: Test impressions or None.
            has_dataset: Histories are read from a prepared log.

        Raises:
            InputError: They cannot, or settings have no effect.
        """
        self.check_dataset(has_dataset)
        if self.text is not None and not has_dataset:
            raise InputError(f"text is {self.text!r}, but there is no prepared log with texts of items. Give one.")
        if validation is None and test is not None:
            raise InputError("test impressions need validation impressions too; or give one table to be cut by time.")
        if validation is None and self.columns.time is None:
            raise InputError("cutting impressions by time needs columns.time, the name of the column.")
        if validation is not None and self.split != TimeSplitConfig():
            raise InputError(
                "split.validation_from and split.test_from cut a single table of impressions; leave them out where "
                "validation impressions are given."
            )
        if validation is not None and not has_dataset and self.columns.time is not None:
            raise InputError(
                f"columns.time is {self.columns.time!r}, which nothing reads: there is no prepared log and nothing to "
                "cut by time. Leave it out."
            )
