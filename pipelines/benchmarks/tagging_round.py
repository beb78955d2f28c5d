"""Timed prediction of entities: the process that ``tagging_speed`` starts for each of its rounds.

    python -m pipelines.benchmarks.tagging_round --run runs/text-resume-ner-crf

Prints one JSON line.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.support.flags import load_config
from pipelines.text.tag.files import NewSentencesConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Predict the entities of a file's sentences, once after a warm-up."""

    run: Path
    """Run folder of `text tag train`."""

    file: Path | None = None
    """Its sentences; None: the test file of that training."""


def run(config: Config) -> dict[str, Any]:
    """Read, predict, print.

    Returns:
        ``sentences_per_s``; ``sentences``, their ``words``, ``matches`` of a lexicon and predicted ``entities``; the
        model (``encoder``, ``lexicon``, ``head``, ``parameters``); ``threads``.
    """
    import torch

    from nlp_tasks.tagging.files import read_annotated
    from nlp_tasks.tagging.tagger import Tagger
    from pipelines.text.tag import train
    from recsys_bert.settings import read_config

    tagger, trained = Tagger.load(config.run), read_config(train.Config, config.run / "config.toml")
    file = config.file or trained.data.test
    if file is None:
        raise InputError(f"{config.run} was trained without a test file; name one with --file.")
    files = NewSentencesConfig(bad_rows="drop").like(trained.data, tagger, file, entities=False)
    sentences = read_annotated(file, files, entities=False).sentences
    tagger.predict_sentences(sentences[:16])
    start = time.perf_counter()
    predictions = tagger.predict_sentences(sentences)
    seconds = time.perf_counter() - start
    matches = tagger.inputs(sentences).matches
    encoder = tagger.model.encoder.config
    result = {
        "sentences_per_s": len(sentences) / seconds,
        "sentences": len(sentences),
        "words": sum(map(len, sentences)),
        "matches": 0 if matches is None else len(matches.rows),
        "entities": sum(map(len, predictions)),
        "encoder": f"{encoder.n_layers} × {encoder.dim}" + ("" if encoder.neck == "none" else f" + {encoder.neck}"),
        "lexicon": trained.lexicon.name,
        "head": trained.head.name,
        "parameters": sum(parameter.numel() for parameter in tagger.model.parameters()),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.tagging_round"))
