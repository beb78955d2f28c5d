"""Pretrain an encoder on click histories."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.stages.text_feature import check_text_encoder


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
        "item_vectors",
        "teacher",
        "encoder.dim",
        "encoder.n_layers",
        "encoder.n_heads",
        "encoder.max_len",
        "encoder.dropout",
        "encoder.layer",
        "encoder.fusion",
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

    item_vectors: Path | None = None
    """Folder that `item-vectors` wrote: items are their text alone, so that the encoder can go to another log. Its map
    makes the vectors of every log here from its words; fit it on the words of all of them (item-vectors
    --other-data)."""

    text_encoder: Path | None = None
    """Text encoder that is trained with the encoder where text is ``trained``: run of `text pretrain` or of a text
    task, its encoder, or a Hugging Face folder. With item_vectors the one that they were made with, if by one: it
    encodes the words of logs that they are not of."""

    other_data: tuple[Path, ...] = ()
    """Further prepared logs to pretrain on at once; with item_vectors."""

    out: Path
    """Run folder; an interrupted run is resumed there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.item_vectors is None:
            check_text_encoder(self.text, self.text_encoder)


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, and write ``out/encoder``.

    Returns:
        Best validation metric, epochs, seconds, parameters.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.pretrain import pretrain

    logs = [open_dataset(folder) for folder in (config.data, *config.other_data)]
    from pipelines.support.text_sources import text_source
    from recsys_bert.item_texts.vector_files import vectors_for_log

    source = None if config.text_encoder is None else text_source("encoder", config.text_encoder)
    if config.item_vectors is None:
        data = logs if config.other_data else logs[0]
        return pretrain(data, text_encoder=source, out=config.out, config=config).summary
    vectors = [vectors_for_log(config.item_vectors, log, source) for log in logs]
    if not config.other_data:
        return pretrain(logs[0], item_vectors=vectors[0], out=config.out, config=config).summary
    return pretrain(logs, item_vectors=vectors, out=config.out, config=config).summary
