"""Train a question answerer on questions about passages, evaluate it, and write what answers new ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nlp_tasks.qa.config import QATrainConfig, QuestionFilesConfig

if TYPE_CHECKING:
    from nlp_tasks.qa.data import QuestionSet


@dataclass(frozen=True, kw_only=True)
class Config(QATrainConfig):
    """Train a question answerer on questions about passages."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
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
        "task.max_len",
        "task.max_answer",
        "task.no_answer",
        "task.language",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.schedule.name",
        "train.patience",
        "train.seed",
    )

    out: Path
    """Run folder; a stopped run there is resumed."""

    data: QuestionFilesConfig = field(default_factory=QuestionFilesConfig)
    """Files of questions."""


def run(config: Config) -> dict[str, Any]:
    """Train, tune the threshold on validation, evaluate once on test; write ``question_answerer``, ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.qa.question_answerer import train_question_answerer

    return train_question_answerer(read(config), config, config.out).results


def read(config: Config) -> "dict[str, QuestionSet]":
    """Questions by split; validation is held out of the training passages where it has no file."""
    from nlp_tasks.qa.data import hold_out_passages
    from nlp_tasks.qa.files import read_set
    from nlp_tasks.splits import with_validation
    from pipelines.text.fine_tuning import check_files

    check_files(config.data)
    paths = {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}
    parts = {name: read_set(path, config.data) for name, path in paths.items() if path is not None}
    return with_validation(parts, config.data.validation_share, config.train.seed, hold_out_passages)
