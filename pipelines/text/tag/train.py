"""Train a tagger, evaluate it, and write it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nlp_tasks.tagging.config import AnnotatedFilesConfig, TaggingTrainConfig


@dataclass(frozen=True, kw_only=True)
class Config(TaggingTrainConfig):
    """Train a tagger (named entity recognition) on annotated sentences."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "init",
        "queries",
        "data.train",
        "data.validation",
        "data.test",
        "data.scheme",
        "data.granularity",
        "tokenizer.kind",
        "encoder.dim",
        "encoder.n_layers",
        "encoder.dropout",
        "encoder.neck",
        "lexicon.name",
        "lexicon.file",
        "lexicon.vectors",
        "head.name",
        "pu.dictionary",
        "pu.risk",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.patience",
        "train.seed",
    )

    out: Path
    """Run folder; a stopped run there is resumed."""

    data: AnnotatedFilesConfig = field(default_factory=AnnotatedFilesConfig)
    """Files of annotated sentences."""


def run(config: Config) -> dict[str, Any]:
    """Train, evaluate once on test, and write ``tagger`` and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.tagging.tagger import train_tagger
    from pipelines.text.tag.files import read_files

    parts = read_files(config.data, labelled=config.pu.dictionary is None)
    return train_tagger(parts, config, config.out, config.data.validation_share).results
