"""A classifier under the clock, training and predicting: the process that ``text_speed`` starts for our figures.

    python -m pipelines.benchmarks.text_steps --recipe pipelines/recipes/text_sst2.toml --steps 40

Prints one JSON line. Training steps run in the real loop, as in ``training_steps``. Prediction goes from texts to
probabilities, cutting into tokens included.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.benchmarks.training_steps import measure
from pipelines.support.flags import load_config
from pipelines.text.classify import train
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config

if TYPE_CHECKING:
    from nlp_tasks.classification.classifier import Classifier

WARM_UP = 64
"""Texts that are predicted before the clock starts."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure a classifier of one recipe."""

    recipe: Path
    """Recipe of ``text classify train``; its run folder is not written, and it is not validated."""

    steps: int = 200
    """Training steps under the clock."""

    predict: int = 2000
    """Training texts, at most, that are predicted under the clock."""

    profile: bool = False
    """List the operators that take most of one more training step."""

    def __post_init__(self) -> None:
        if min(self.steps, self.predict) < 1:
            raise InputError(f"steps is {self.steps} and predict {self.predict}; one is the least of both.")


def run(config: Config) -> dict[str, Any]:
    """Measure and print.

    Returns:
        As ``training_steps.measure``, and ``predicted_per_s``: texts a second.

    Raises:
        InputError: The data has too few batches.
    """
    from nlp_tasks.classification.classifier import build_training

    recipe = read_config(train.Config, config.recipe)
    parts = train.read(recipe)
    classifier, training = build_training(parts, recipe)
    texts = parts["train"].texts[recipe.text][: config.predict]
    results = measure(training.loss, training.batches, recipe.train, config.steps, profile=config.profile)
    results["predicted_per_s"] = _predicted_per_s(classifier, texts)
    print(json.dumps(results))
    return results


def _predicted_per_s(classifier: "Classifier", texts: list[str]) -> float:
    classifier.probabilities(texts[:WARM_UP])
    start = time.perf_counter()
    classifier.probabilities(texts)
    return len(texts) / (time.perf_counter() - start)


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.text_steps"))
