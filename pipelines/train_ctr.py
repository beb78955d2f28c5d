"""Command ``train-ctr``: train a CTR model on impressions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_bert.stages.train_ctr_config import TrainCTRConfig


@dataclass(frozen=True, kw_only=True)
class Config(TrainCTRConfig):
    """Train a click-through-rate model on impressions with labels."""

    impressions: Path
    """File of impressions: cut by time into training, validation and test; or, with ``validation``, the training
    impressions."""

    out: Path
    """Run folder; an interrupted run is resumed there."""

    data: Path | None = None
    """Prepared log: histories before each impression, and side features. None: impressions alone."""

    validation: Path | None = None
    """File of validation impressions; they select the epoch."""

    test: Path | None = None
    """File of test impressions; evaluated once, after training."""

    init: Path | None = None
    """Run of `train-ctr` that goes on: its columns, features and model are taken over, and what it knows keeps its
    weights where log and impressions have grown. The optimiser starts anew."""

    MAIN = (
        "impressions",
        "out",
        "data",
        "init",
        "validation",
        "test",
        "columns.label",
        "columns.labels",
        "columns.user",
        "columns.item",
        "columns.time",
        "columns.history",
        "features.categorical",
        "features.numeric",
        "features.multi",
        "model.head",
        "model.head_options",
        "model.dim",
        "model.multi_task",
        "model.history_len",
        "model.encoder",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.patience",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init is None:  # or else the columns are those of its run
            self.check_inputs(self.validation, self.test, self.data is not None)
        paths = (self.impressions, self.validation, self.test)
        self.files.check_used([path for path in paths if path is not None])


def run(config: Config) -> dict[str, Any]:
    """Train, evaluate once on the test impressions, and write the run folder.

    Returns:
        The contents of ``metrics.json``.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.train_ctr import train_ctr

    model = train_ctr(
        config.impressions,
        dataset=None if config.data is None else open_dataset(config.data),
        validation=config.validation,
        test=config.test,
        init=config.init,
        out=config.out,
        config=config,
    )
    return model.metrics
