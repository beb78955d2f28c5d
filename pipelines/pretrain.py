"""Pretrain an encoder on click histories."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from recsys_bert.stages.pretrain import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class Config(PretrainConfig):
    """Pretrain an encoder on the histories of a prepared click log."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "data",
        "out",
        "objective",
        "objective_options",
        "features",
        "crop",
        "init",
        "item_init",
        "teacher",
        "encoder.dim",
        "encoder.n_layers",
        "encoder.n_heads",
        "encoder.max_len",
        "encoder.dropout",
        "encoder.layer",
        "encoder.fusion",
        "encoder.neck",
        "loss.name",
        "loss.similarity",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.schedule.name",
        "train.patience",
        "train.seed",
    )

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Run folder; an interrupted run is resumed there."""


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, and write ``out/encoder``.

    Returns:
        Best validation metric, epochs, seconds, parameters.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.pretrain import pretrain

    return pretrain(open_dataset(config.data), out=config.out, config=config).summary
