"""Accuracy and speed of students beside their teacher: trained classifiers on one file of labelled texts.

    python -m pipelines.benchmarks.students --runs runs/text-sst2 runs/text-sst2-student \
        --file ../shared/data/sst2/stsa.binary.test --out runs/students

They run in alternating rounds: all texts at once give the throughput, one text after the other the latency.
Tokenisation is part of both.
"""

import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.benchmarks.tables import write_tables
from pipelines.support.flags import load_config
from pipelines.text.answers import NewFileConfig
from pipelines.text.classify import train
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config

if TYPE_CHECKING:
    from nlp_tasks.classification.classifier import Classifier

_ALONE = 100  # texts, at most, that are classified one after the other


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare trained classifiers in accuracy and speed."""

    runs: tuple[Path, ...]
    """Run folders of `text classify train`; the first is what the others are compared with."""

    file: Path
    """File with texts and labels, read as in the training of the first run."""

    out: Path
    """Where the table (with the ending .md) and the same numbers (.json) are written."""

    rounds: int = 5
    """Turns of every classifier; the table has medians over them."""

    def __post_init__(self) -> None:
        if len(self.runs) < 2 or self.rounds < 1:
            raise InputError(f"{len(self.runs)} runs and {self.rounds} rounds are given; two and one are the least.")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: A run holds no classifier, or another one's labels; or the file cannot be used.
    """
    import torch

    from nlp_tasks.classification.classifier import Classifier
    from nlp_tasks.classification.data import encode_labels, unseen
    from nlp_tasks.data import read_table

    first = read_config(train.Config, config.runs[0] / "config.toml")
    models = [Classifier.load(folder) for folder in config.runs]
    if other := next((at for at, one in enumerate(models) if one.labels != models[0].labels), None):
        raise InputError(f"{config.runs[other]} has other labels than {config.runs[0]}.")
    separator = first.label_separator if models[0].multi_label else None
    table = read_table(config.file, NewFileConfig().like(first.data), [first.text], first.label, separator)
    table = table.without(unseen(table.labels or [], models[0].labels))
    targets = encode_labels(table.labels or [], models[0].labels, models[0].multi_label)
    texts = table.texts[first.text]
    turns = [[_turn(model, texts) for model in models] for _ in range(config.rounds)]
    answers = [model.probabilities(texts) for model in models]
    first_labels = models[0].predicted(answers[0])
    rows = [
        {
            "run": str(folder),
            "parameters": sum(parameter.numel() for parameter in model.model.parameters()),
            "layers": model.model.encoder.config.n_layers,
            "dim": model.model.encoder.config.dim,
            "metrics": {k: v for k, v in model.metrics(answer, targets).items() if isinstance(v, float)},
            "agrees": float((model.predicted(answer) == first_labels).all(axis=1).mean()),
            **{name: statistics.median(turn[at][name] for turn in turns) for name in turns[0][at]},
            **{f"times_{k}": statistics.median(turn[at][k] / turn[0][k] for turn in turns) for k in turns[0][at]},
        }
        for at, (folder, model, answer) in enumerate(zip(config.runs, models, answers, strict=True))
    ]
    machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    result = {"file": config.file.name, "texts": len(texts), "rounds": config.rounds, "machine": machine, "rows": rows}
    write_tables(config.out, _table(result), result)
    return result


def _turn(model: "Classifier", texts: list[str]) -> dict[str, float]:
    """Texts a second, all at once and one after the other."""
    alone = texts[:_ALONE]
    start = time.perf_counter()
    model.probabilities(texts)
    between = time.perf_counter()
    for text in alone:
        model.probabilities([text])
    return {"per_s": len(texts) / (between - start), "alone_per_s": len(alone) / (time.perf_counter() - between)}


_COLUMNS = (
    "run",
    "layers",
    "width",
    "parameters",
    "accuracy",
    "answers as the first",
    "texts a second",
    "times the first",
    "ms for one text",
    "times the first",
)


def _table(result: dict[str, Any]) -> str:
    machine = result["machine"]
    about = (
        f"{result['file']}, {result['texts']:,} texts, {result['rounds']} alternating rounds; torch "
        f"{machine['torch']}, {machine['cores']} CPU cores, {machine['threads']} threads.\n\n"
    )
    head = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n"
    return about + head + "".join(f"| {' | '.join(_cells(row))} |\n" for row in result["rows"])


def _cells(row: dict[str, Any]) -> list[str]:
    metrics = row["metrics"]
    return [
        Path(row["run"]).name,
        str(row["layers"]),
        str(row["dim"]),
        f"{row['parameters']:,}",
        f"{metrics.get('accuracy', metrics.get('exact')):.4f}",
        f"{row['agrees']:.4f}",
        f"{row['per_s']:,.0f}",
        f"{row['times_per_s']:.2f}",
        f"{1000 / row['alone_per_s']:.1f}",
        f"{row['times_alone_per_s']:.2f}",
    ]


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.students"))
