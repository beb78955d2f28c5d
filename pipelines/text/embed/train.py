"""Train a text encoder's vectors on texts, pairs or graded pairs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nlp_tasks.config import FilesConfig
from nlp_tasks.embedding.config import EmbeddingTrainConfig
from nlp_tasks.embedding.files import PairColumns


@dataclass(frozen=True, kw_only=True)
class Config(EmbeddingTrainConfig):
    """Train sentence vectors: on texts alone (SimCSE), pairs that match, or graded pairs (CoSENT, cosine)."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "init",
        "data.train",
        "data.validation",
        "data.test",
        "data.format",
        "columns.first",
        "columns.second",
        "columns.score",
        "tokenizer.kind",
        "encoder.dim",
        "encoder.n_layers",
        "encoder.dropout",
        "encoder.fusion",
        "length.max_len",
        "head.name",
        "task.loss",
        "task.temperature",
        "task.positive_from",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.schedule.name",
        "train.patience",
    )

    out: Path
    """Run folder; a stopped run there is resumed."""

    data: FilesConfig = field(default_factory=FilesConfig)
    """Files of texts or pairs. Nothing is held out of texts for simcse: without a validation file of pairs the last
    epoch is kept."""

    columns: PairColumns = field(default_factory=PairColumns)
    """Columns of the files."""


def run(config: Config) -> dict[str, Any]:
    """Train, evaluate once on test, and write ``text_encoder`` and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.embedding.data import SECOND
    from nlp_tasks.embedding.files import read_pairs
    from nlp_tasks.splits import hold_out, with_validation
    from nlp_tasks.text_encoder import train_vectors
    from pipelines.text.fine_tuning import check_files
    from recsys_bert.errors import InputError

    check_files(config.data)
    paths = {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}
    parts = {name: read_pairs(path, config.data, config.columns) for name, path in paths.items() if path is not None}
    for name in ("validation", "test"):
        if name in parts and SECOND not in parts[name].texts:
            raise InputError(f"{parts[name].path} has texts alone; vectors are judged on pairs.")
    if SECOND in parts["train"].texts and config.task.loss != "simcse":
        parts = with_validation(parts, config.data.validation_share, config.train.seed, hold_out)
    return train_vectors(parts, config, config.out).results
