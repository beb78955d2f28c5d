"""Train a text classifier, evaluate it, and write what classifies new texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nlp_tasks.classification.config import ClassificationTrainConfig
from nlp_tasks.config import FilesConfig
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.examples import Table


@dataclass(frozen=True, kw_only=True)
class Config(ClassificationTrainConfig):
    """Train a text classifier."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "text",
        "label",
        "class_names",
        "init",
        "teacher",
        "data.train",
        "data.validation",
        "data.test",
        "tokenizer.kind",
        "encoder.dim",
        "encoder.n_layers",
        "encoder.dropout",
        "encoder.fusion",
        "encoder.neck",
        "length.max_len",
        "head.name",
        "task.multi_label",
        "task.class_weights",
        "task.thresholds",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.schedule.name",
        "train.patience",
    )

    out: Path
    """Run folder; a stopped run there is resumed."""

    data: FilesConfig = field(default_factory=FilesConfig)
    """Files of examples."""

    text: str = "text"
    """Column with the text."""

    label: str = "label"
    """Column with the label."""

    label_separator: str = ","
    """Separates the labels of a cell; with several labels."""

    class_names: Path | None = None
    """File with one name a line, where labels are numbers from 0; None shows the labels themselves."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_separator != "," and not self.task.multi_label:
            raise InputError("label_separator is for several labels; set task.multi_label as well.")


def run(config: Config) -> dict[str, Any]:
    """Train, tune thresholds on validation, evaluate once on test, and write ``classifier`` and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.classification.classifier import train_classifier

    return train_classifier(read(config), config, config.out, config.class_names).results


def read(config: Config) -> "dict[str, Table]":
    """Examples by split."""
    from pipelines.text.fine_tuning import read_splits

    separator = config.label_separator if config.task.multi_label else None
    return read_splits(config.data, [config.text], config.label, separator=separator, seed=config.train.seed)
