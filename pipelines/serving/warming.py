"""First computations of opened runs, so that no request pays for them."""

import contextlib
from typing import Any

import numpy as np

from pipelines.serving.runs import (
    ANSWERER,
    BI_ENCODER,
    CLASSIFIER,
    CROSS_ENCODER,
    ENCODER,
    GENERATOR,
    RECOMMENDER,
    TAGGER,
    Runs,
)
from recsys_bert.errors import InputError
from recsys_bert.serving.live_histories import Query

_TEXT = "a text"


def warm(runs: Runs) -> None:
    """Compute once with every run that needs no log of its own."""
    for run in runs.by_name.values():
        with contextlib.suppress(InputError):  # a text without a known word, a history without times
            _once(run.kind, run.model)


def _once(kind: str, model: Any) -> None:
    if kind == RECOMMENDER:
        (item,) = model.catalogue.items.ids(np.zeros(1, np.int64))
        model.recommend([Query(history=[item])])
    elif kind == CLASSIFIER:
        model.probabilities([_TEXT])
    elif kind in (BI_ENCODER, CROSS_ENCODER):
        model.similarity([_TEXT], [_TEXT])
    elif kind == ANSWERER:
        model.predict([_TEXT], [_TEXT])
    elif kind == TAGGER:
        model.predict([_TEXT])
    elif kind == GENERATOR:
        model.predict([_TEXT], search="greedy", max_length=max(1, model.decoding.min_length))
    elif kind == ENCODER:
        model.encode([_TEXT])
