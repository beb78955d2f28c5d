"""Pretrain a text encoder on plain text."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nlp_tasks.config import CorpusConfig
from nlp_tasks.pretraining.config import TextPretrainConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config(TextPretrainConfig):
    """Pretrain a text encoder on plain text."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "data.train",
        "data.validation",
        "objective",
        "objective_options",
        "second_loss",
        "whole_words",
        "init",
        "teacher",
        "tokenizer.kind",
        "tokenizer.vocab_size",
        "encoder.dim",
        "encoder.n_layers",
        "encoder.n_heads",
        "encoder.max_len",
        "encoder.dropout",
        "encoder.layer",
        "encoder.fusion",
        "encoder.neck",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.schedule.name",
        "train.patience",
        "train.seed",
    )

    out: Path
    """Run folder; an interrupted run is resumed there."""

    data: CorpusConfig = field(default_factory=CorpusConfig)
    """The text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data.train:
            raise InputError("no text is given; name files with --data.train FILE ….")


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, and write ``out/encoder`` (with its tokenizer) and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.pretraining.corpus import read_documents
    from nlp_tasks.pretraining.pretrain import run_pretraining

    files = {f"train {n}": path for n, path in enumerate(config.data.train)}
    read = {name: read_documents(path, config.data) for name, path in files.items()}
    texts = [text for documents, _ in read.values() for text in documents]
    validation = None
    if config.data.validation is not None:
        read["validation"] = read_documents(config.data.validation, config.data)
        validation = read["validation"][0]
    left_out = {name: counts for name, (_, counts) in read.items()}
    return run_pretraining(texts, validation, config.out, config, left_out)[1]
