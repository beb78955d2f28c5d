"""Train a generator of text, evaluate it, and write what generates new texts."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from nlp_tasks.config import FilesConfig
from nlp_tasks.generation.config import GenerationTrainConfig, settled
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config(GenerationTrainConfig):
    """Train a generator of targets from sources (titles, summaries, answers), or a language model on plain texts."""

    MAIN: ClassVar[tuple[str, ...]] = (
        *("out", "source", "target", "text", "init", "data.train", "data.validation", "data.test", "tokenizer.kind"),
        *("encoder.dim", "encoder.n_layers", "encoder.max_len", "length.max_len", "length.long"),
        *("decoding.search", "decoding.beams", "decoding.max_length"),
        *("train.epochs", "train.batch_size", "train.lr", "train.schedule.name", "train.patience", "train.monitor"),
    )

    out: Path
    """Run folder; a stopped run there is resumed."""

    data: FilesConfig = field(default_factory=FilesConfig)
    """Files of examples; without targets, .txt files are read as lines."""

    source: str = "source"
    """Column with the source."""

    target: str = "target"
    """Column with the target."""

    text: str | None = None
    """Column with the texts of a language model, in place of source and target; "text" for lines."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text is not None and (self.source, self.target) != ("source", "target"):
            raise InputError("text is the column of a language model, which has no source and target; leave them out.")
        settled(self, targets=self.text is None)

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse named settings that have no effect, though they be defaults."""
        super().check_named(names)
        if self.text is not None and (named := names & {"source", "target"}):
            raise InputError(f"text is the column of a language model, which has no {min(named)}; leave it out.")

    @property
    def columns(self) -> list[str]:
        """Columns with source and target, or with the text."""
        return [self.source, self.target] if self.text is None else [self.text]


def as_lines(files: FilesConfig, path: Path | None, *, targets: bool) -> FilesConfig:
    """Settings of a file's format: a ``.txt`` file without targets has a text a line."""
    plain = path is not None and ".txt" in path.suffixes and not targets and files.format == "auto"
    return replace(files, format="lines") if plain else files


def run(config: Config) -> dict[str, Any]:
    """Train, evaluate once on test, and write ``generator`` and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.generation.generator import train_generator
    from pipelines.text.fine_tuning import read_splits

    files = as_lines(config.data, config.data.train, targets=config.text is None)
    parts = read_splits(files, config.columns, None, seed=config.train.seed)
    return train_generator(parts, config, config.out).results
