"""Entities found under the clock: the process that ``ner_speed`` starts for each of its turns.

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
    """Find the entities of a file's sentences, once after a start."""

    run: Path
    """Run folder of `text tag train`."""

    file: Path | None = None
    """Its sentences; None: the test file of that training."""


def run(config: Config) -> dict[str, Any]:
    """Read, find, print.

    Returns:
        ``sentences_per_s``; ``sentences``, and in them ``units``, ``words`` of a lexicon and ``entities`` found; what
        the model is made of (``encoder``, ``words_part``, ``head``, ``parameters``); ``threads``.
    """
    import torch

    from nlp_tasks.tagging.data import read_annotated
    from nlp_tasks.tagging.tagger import Tagger
    from pipelines.text.tag import train
    from recsys_bert.settings import read_config

    recogniser, trained = Tagger.load(config.run), read_config(train.Config, config.run / "config.toml")
    file = config.file or trained.data.test
    if file is None:
        raise InputError(f"{config.run} was trained without a test file; name one with --file.")
    how = NewSentencesConfig(bad_rows="drop").like(trained.data, recogniser, file)
    sentences = read_annotated(file, how, entities=False).sentences
    recogniser.find_in(sentences[:16])
    start = time.perf_counter()
    found = recogniser.find_in(sentences)
    seconds = time.perf_counter() - start
    words = recogniser.inputs(sentences).words
    encoder = recogniser.model.encoder.config
    told = {
        "sentences_per_s": len(sentences) / seconds,
        "sentences": len(sentences),
        "units": sum(map(len, sentences)),
        "words": 0 if words is None else len(words.rows),
        "entities": sum(map(len, found)),
        "encoder": f"{encoder.n_layers} × {encoder.dim}" + ("" if encoder.neck == "none" else f" + {encoder.neck}"),
        "words_part": trained.words.name,
        "head": trained.head.name,
        "parameters": sum(parameter.numel() for parameter in recogniser.model.parameters()),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(told))
    return told


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.tagging_round"))
