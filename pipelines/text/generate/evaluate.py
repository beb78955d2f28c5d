"""Evaluate a generator of text."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig, trained_settings
from pipelines.text.generate.decoding import NewDecodingConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Evaluate a generator: perplexity of the true texts and, of targets, BLEU, chrF, ROUGE of those it generates."""

    run: Path
    """Run folder of `text generate train`."""

    file: Path
    """File with sources and targets, or with texts for a language model."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    source: str | None = None
    """Column with the source, or the text; None: as in training."""

    target: str | None = None
    """Column with the target; None: as in training."""

    decoding: NewDecodingConfig = field(default_factory=NewDecodingConfig)
    """Decoding, where it is not that of the training."""

    out: Path | None = None
    """JSON file for the metrics."""

    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def __post_init__(self) -> None:
        check_place(self.out)


def run(config: Config) -> dict[str, Any]:
    """Evaluate and print.

    Returns:
        Metrics, and counts of lines left out and texts shortened.

    Raises:
        InputError: A target or a decoding is named for a language model, or the run or the file cannot be used.
    """
    import json

    from nlp_tasks.data import read_table
    from nlp_tasks.generation.generator import Generator, usable
    from pipelines.text.generate import train
    from recsys_bert.errors import InputError
    from recsys_bert.files import write_json

    generator = Generator.load(config.run)
    trained = trained_settings(train.Config, config.run)
    columns, changes = [config.source or trained.columns[0], *trained.columns[1:]], config.decoding.changes
    if not generator.reads_sources and (config.target is not None or changes):
        raise InputError(f"{config.run} is a language model: it has no target, and nothing is decoded. Leave it out.")
    columns[1:] = [config.target or name for name in columns[1:]]
    files = train.as_lines(config.read.like(trained.data), config.file, targets=generator.reads_sources)
    table = read_table(config.file, files, columns, flags="read")
    decoding = generator.decoding_with(changes)
    table = usable(generator.tokenizer, table, decoding.max_length)
    rows = generator.rows(table)
    metrics = generator.metrics(table, rows, decoding) | {"left_out": table.left_out, "counted": rows[0].counts}
    if config.out is not None:
        write_json(config.out, metrics)
    print(json.dumps(metrics) if config.json else _as_text(metrics))
    return metrics


def _as_text(metrics: dict[str, Any]) -> str:
    scalars = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))
    counts = [f"  {name}: {n:,}" for name, n in {**metrics["left_out"], **metrics["counted"]}.items()]
    return "\n".join([f"{scalars} on {metrics['examples']:,} texts", *counts])
