"""Evaluate sentence vectors on pairs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.embedding.files import PairColumns
from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Evaluate vectors on pairs: Spearman and Pearson with grades, search among all second texts without."""

    run: Path
    """Run of any `text embed` command, `text pretrain` or a text task, or a Hugging Face or sentence-transformers
    folder."""

    file: Path
    """File with pairs."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    columns: PairColumns = field(default_factory=PairColumns)
    """Columns of the file."""

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
        InputError: The run or the file cannot be used.
    """
    import json

    from nlp_tasks.embedding.data import SECOND, graded, pair_texts
    from nlp_tasks.embedding.files import read_pairs
    from nlp_tasks.embedding.training import vector_metrics
    from nlp_tasks.static_vectors import load_vectors
    from recsys_bert.errors import InputError
    from recsys_bert.files import write_json

    encoder = load_vectors(config.run)
    table = read_pairs(config.file, config.read.like(FilesConfig()), config.columns, flags="read")
    if SECOND not in table.texts:
        raise InputError(f"{config.file} has texts alone; vectors are judged on pairs.")
    table = graded(table)
    texts = pair_texts(table)
    metrics = vector_metrics(table, encoder.encode(texts))
    metrics |= {"left_out": table.left_out, "counted": encoder.counts(texts)}
    if config.out is not None:
        write_json(config.out, metrics)
    print(json.dumps(metrics) if config.json else _as_text(metrics))
    return metrics


def _as_text(metrics: dict[str, Any]) -> str:
    scalars = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))
    counts = [f"  {name}: {n:,}" for name, n in {**metrics["left_out"], **metrics["counted"]}.items()]
    return "\n".join([f"{scalars} on {metrics['examples']:,} pairs", *counts])
