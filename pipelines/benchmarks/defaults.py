"""Defaults of pretrain and train-retrieval beside their alternatives, on several logs.

    python -m pipelines.benchmarks.defaults --out runs/defaults --data runs/data/ml-100k runs/data/beauty --seeds 3

Every alternative changes one setting of the defaults. The table says where a default is behind an alternative by more
than the standard deviation over seeds: then it is no default any more.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pipelines.support.flags import load_config
from recsys_bert.errors import InputError

ALTERNATIVES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "pretrain": {
        "defaults": {},
        "objective masked": {"objective": "masked"},
        "item_init random": {"item_init": "random"},
        "similarity cosine": {"loss": {"similarity": "cosine"}},
    },
    "train_retrieval": {
        "defaults": {},
        "item_init random": {"item_init": "random"},
        "full softmax": {"loss": {"name": "full"}},
    },
}
"""Stage → name → settings."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare the defaults of the training stages with alternatives."""

    out: Path
    """Folder of the runs and of table.json."""

    data: tuple[Path, ...]
    """Prepared logs."""

    seeds: int = 3
    """Seeds of each configuration."""

    epochs: int = 40
    """Epochs at most; the best one by validation counts."""

    stages: tuple[str, ...] = tuple(ALTERNATIVES)
    """Stages to compare."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.stages) - set(ALTERNATIVES)):
            raise InputError(f"there is no stage {unknown[0]!r}; there are {', '.join(ALTERNATIVES)}.")
        if self.seeds < 1 or self.epochs < 1:
            raise InputError(f"seeds is {self.seeds} and epochs {self.epochs}; both must be at least 1.")


def run(config: Config) -> list[dict[str, Any]]:
    """Train every configuration, those that are finished excepted, and write and print the table.

    Returns:
        One row a configuration: ``stage``, ``data``, ``name``, ``ndcg@10`` of validation by seed, ``seconds``.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.files import write_json

    rows = []
    for folder in config.data:
        dataset = open_dataset(folder)
        for stage in config.stages:
            for name, settings in ALTERNATIVES[stage].items():
                runs = [_train(config, stage, dataset, folder, name, settings, seed) for seed in range(config.seeds)]
                values, seconds = [one["best"] for one in runs], [one["seconds"] for one in runs]
                rows.append({"stage": stage, "data": folder.name, "name": name, "ndcg@10": values, "seconds": seconds})
    write_json(config.out / "table.json", rows)
    print("\n".join(_lines(rows)))
    return rows


def _train(
    config: Config, stage: str, dataset: Any, folder: Path, name: str, settings: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Summary of one training, kept in its run folder."""
    import recsys_bert as rb
    from recsys_bert.files import read_json, write_json

    out = config.out / f"{stage}-{folder.name}-{name.replace(' ', '-')}-{seed}"
    if (out / "summary.json").exists():
        summary: dict[str, Any] = read_json(out / "summary.json")
        return summary
    trainer: Callable[..., Any] = getattr(rb, stage)
    model = trainer(dataset, out=out, train={"epochs": config.epochs, "seed": seed}, **settings)
    summary = {key: model.summary[key] for key in ("best", "best_epoch", "epochs", "seconds", "parameters")}
    write_json(out / "summary.json", summary)
    return summary


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| stage | data | setting | validation NDCG@10 | seconds | default |", "|---|---|---|---|---|---|"]
    for row in rows:
        base = next(one for one in rows if (one["stage"], one["data"]) == (row["stage"], row["data"]))
        spread = max((stdev(one["ndcg@10"]) if len(one["ndcg@10"]) > 1 else 0.0) for one in (row, base))
        behind = mean(row["ndcg@10"]) - mean(base["ndcg@10"]) > spread
        verdict = "" if row is base else "behind" if behind else "kept"
        value = f"{mean(row['ndcg@10']):.4f} ± {spread:.4f}"
        lines.append(
            f"| {row['stage']} | {row['data']} | {row['name']} | {value} | {mean(row['seconds']):.0f} | {verdict} |"
        )
    return lines


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.defaults"))
