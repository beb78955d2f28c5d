"""Train a matcher of pairs of texts, evaluate it, and write what compares new ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nlp_tasks.config import FilesConfig
from nlp_tasks.fine_tuning import settle_monitor
from nlp_tasks.matching.config import MatchingTrainConfig, check_labelled, monitors


@dataclass(frozen=True, kw_only=True)
class Config(MatchingTrainConfig):
    """Train a matcher of pairs of texts."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "first",
        "second",
        "label",
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
        "task.form",
        "task.loss",
        "task.threshold",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.schedule.name",
        "train.patience",
    )

    out: Path
    """Run folder; a stopped run there is resumed."""

    data: FilesConfig = field(default_factory=FilesConfig)
    """Files of pairs."""

    first: str = "first"
    """Column with the first text."""

    second: str = "second"
    """Column with the second text."""

    label: str | None = "label"
    """Column with 1 for a match and 0 for none; None: every pair is a match, for task.loss in_batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_labelled(self.task, labelled=self.label is not None)
        settle_monitor(self, monitors(self.task, labelled=self.label is not None))


def run(config: Config) -> dict[str, Any]:
    """Train, tune the threshold on validation, evaluate once on test, and write ``matcher`` and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.matching.matcher import train_matcher
    from pipelines.text.fine_tuning import read_splits

    parts = read_splits(config.data, [config.first, config.second], config.label, seed=config.train.seed)
    return train_matcher(parts, config, config.out).results
