"""Training steps with the text of items against ids alone: time and peak memory, alternating, each in its own process.

    python -m pipelines.benchmarks.item_text_steps --data runs/data/beauty-text --encoder.dim 128 --encoder.n-layers 1

The encoder reads the text at every position, and predicts items by embedding plus adapter.
"""

import json
import multiprocessing
import statistics
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pipelines.support.flags import load_config
from recsys_bert.errors import InputError
from recsys_bert.stages.pretrain_config import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class Config(PretrainConfig):
    """Measure training steps with and without text."""

    data: Path
    """Folder that `prepare` wrote, with words of the items."""

    text: str | None = field(default="tfidf")
    """Text of items as in `pretrain`."""

    steps: int = 40
    """Steps under the clock in each round."""

    rounds: int = 3
    """Rounds, each of ids alone and then with text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text is None or self.steps < 1 or self.rounds < 1:
            raise InputError(f"text is {self.text}, steps {self.steps}, rounds {self.rounds}; all three are needed.")


def run(config: Config) -> dict[str, Any]:
    """Measure and print.

    Returns:
        Median sequences a second and peak bytes of ``ids`` and of ``text``; the median ``ratio`` of the times of a
        step, and the least and largest of a round.
    """
    named = {one.name: getattr(config, one.name) for one in fields(PretrainConfig)}
    with_text = PretrainConfig(**named)
    ids = replace(with_text, text=None, text_dim=PretrainConfig.text_dim)
    rounds = [[_in_process(config, one) for one in (ids, with_text)] for _ in range(config.rounds)]
    ratios = [one["seq_per_s"] / other["seq_per_s"] for one, other in rounds]
    result: dict[str, Any] = {"ratio": statistics.median(ratios), "least": min(ratios), "largest": max(ratios)}
    for number, name in enumerate(("ids", "text")):
        for metric in ("seq_per_s", "peak_bytes"):
            result[f"{name}_{metric}"] = statistics.median(measured[number][metric] for measured in rounds)
    print(json.dumps(result))
    return result


def _in_process(config: Config, training: PretrainConfig) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        measured: dict[str, Any] = pool.apply(_measure, (config.data, training, config.steps))
    return measured


def _measure(data: Path, config: PretrainConfig, steps: int) -> dict[str, Any]:
    from pipelines.benchmarks.training_steps import measure
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.pretrain import build

    training = build(config, open_dataset(data))
    return measure(training.module, training.batches, config.train, steps)


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.item_text_steps"))
