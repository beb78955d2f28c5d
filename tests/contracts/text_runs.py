"""Tiny texts and settings for contracts of text tasks."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.settings_contract import (
    Flat,
    Outcome,
    SettingsContract,
    hash_files,
    metric_lines,
    nested,
    read_config_toml,
)

import nlp_tasks
from pipelines.support.short_help import all_settings
from recsys_bert.encoder.parts import Options

TOPICS = {"sport": ["ball", "goal", "Team"], "money": ["bank", "stock", "Fund"], "food": ["soup", "bread", "Oven"]}
FILLER = ["the", "a", "of", "and", "to", "in", "国", "國"]
ENCODER: Options = {
    "encoder.dim": 8,
    "encoder.n_layers": 1,
    "encoder.n_heads": 2,
    "encoder.max_len": 16,
    "encoder.init_std": 0.3,
}
TOKENIZER: Options = {"tokenizer.vocab_size": 120, "tokenizer.min_count": 1}
TRAIN: Options = {
    "train.epochs": 3,
    "train.batch_size": 16,
    "train.lr": 0.03,
    "train.patience": 0,
    "train.device": "cpu",
    "train.precision": "fp32",
}
SMALL = {**ENCODER, **TOKENIZER, **TRAIN}
UNTAUGHT = {**ENCODER, **TRAIN, "tokenizer.folder": "teacher"}
TAUGHT = {**UNTAUGHT, "teacher": "teacher"}
STARTS = {  # base runs in which nothing stands in the way of init, tokenizer.folder and teacher
    "no_init": {**TRAIN, "train.epochs": 1},
    "no_folder": {**ENCODER, **TRAIN},
    "untaught": UNTAUGHT,
}
ONLY_STARTS = {"no_init": ("init",), "no_folder": ("tokenizer.folder",), "untaught": ("teacher",)}
INIT = {**TRAIN, "init": "start"}
ONLY_INIT = ("encoder.", "tokenizer.", "init")
VALUES: dict[str, list[Any]] = {  # other values, where the type does not give them
    "train.precision": ["bf16"],
    "train.log_steps": [2],
    "train.optimiser.clip_norm": [0.01],
    "train.schedule.warmup_steps": [5],
    "train.adversarial.table": ["embeddings.position"],
    "train.averaging.every_steps": [2],
    "init": ["start"],
    "teacher": ["teacher"],
    "tokenizer.folder": ["start"],
    "tokenizer.vectors": ["vectors.txt"],
    "tokenizer.vocab_size": [40],
    "tokenizer.min_count": [40],
    "encoder.dim": [10],
    "encoder.n_heads": [4],
    "encoder.max_len": [12],
    "encoder.layer_options": [{"norm_eps": 0.1}],
    "encoder.fusion_options": [{"how": "max"}],
    "encoder.neck_options": [{"kernel": 5}],
    "encoder.embedding_dim": [4],
    "encoder.features": [[{"name": "kind", "size": 6}]],
    "encoder.ngram_rows": [50],
    "encoder.n_segments": [0, 3],
    "encoder.vocab_size": [50],
    "distillation.layers": [[0, -1]],
    "length.max_len": [10],
    "length.overlap": [0.5],
    "length.max_windows": [1],
    "head.options": [{"hidden": 4}],
}
CONTEXTS: dict[str, dict[str, Any]] = {  # what a setting needs to have an effect
    "train.schedule.floor": {"train.schedule.name": "linear"},
    "train.schedule.cycles": {"train.schedule.name": "cosine_restarts"},
    "train.schedule.power": {"train.schedule.name": "polynomial"},
    "train.averaging.first_epoch": {"train.averaging.method": "swa", "train.epochs": 4},
    "train.averaging.decay": {"train.averaging.method": "ema", "train.averaging.decay": 0.1},
    "train.averaging.every_steps": {"train.averaging.method": "swa"},
    "train.adversarial.table": {"train.adversarial.method": "fgm"},
    "train.adversarial.epsilon": {"train.adversarial.method": "fgm"},
    "train.adversarial.step_size": {"train.adversarial.method": "pgd"},
    "train.adversarial.steps": {"train.adversarial.method": "pgd"},
    "encoder.fusion_options": {"encoder.fusion": "pool"},
    "encoder.neck_options": {"encoder.neck": "cnn"},
    "encoder.residual": {"encoder.neck": "cnn"},
    "encoder.share_layers": {"encoder.n_layers": 2},
    "encoder.ngram_rows": {"encoder.ngrams": 2},
}
EXEMPT = {
    "train.patience": "ends a training only where validation worsens; tests/training/test_loop.py",
    "train.device": "the machine's, not the model's; every test has a CPU",
    "train.checkpoint_steps": "what an interrupted run loses",
    "encoder.gradient_checkpointing": "saves memory; the numbers are the same",
}
OF_START = {"tokenizer.kind": ("wordpiece",), "encoder.ngrams": (2,), "encoder.n_layers": (2,)}
REFUSED = {  # follow from the data, or have no effect on texts
    "encoder.vocab_size",
    "encoder.attention",
    "encoder.features",
    "encoder.times",
    "encoder.time_gaps",
}


def topic_texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 5 to 24 words in short sentences, and their topics; a tenth of the topics are wrong."""
    random = np.random.default_rng(seed)
    topics, texts = random.choice(sorted(TOPICS), n), []
    for topic in topics:
        words = [*random.choice(FILLER, random.integers(3, 23)), *random.choice(TOPICS[topic], 2)]
        words = random.permutation(words).tolist()
        stops = range(4, len(words), 5) if len(words) < 22 else ()  # some sentences are longer than an input
        texts.append(" ".join(word + "." * (position in stops) for position, word in enumerate(words)))
    return texts, np.where(random.random(n) < 0.1, random.choice(sorted(TOPICS), n), topics).tolist()


def text_contract(
    config: type,
    bases: Mapping[str, Flat],
    *,
    only: Mapping[str, tuple[str, ...]],
    values: Mapping[str, list[Any]],
    contexts: Mapping[str, Flat] | None = None,
    detected: Mapping[str, Mapping[str, tuple[Any, ...]]],
) -> SettingsContract:
    """Contract of a text task: its own bases and values, and those that all text tasks share as far as they have them.

    Without a teacher there is no base ``untaught``; ``init`` is a base of every task.
    """
    names = {setting.name for setting in all_settings(config)}
    starts = {name: base for name, base in STARTS.items() if name != "untaught" or "teacher" in names}
    shared = {name: others for name, others in VALUES.items() if name in names}
    return SettingsContract(
        config,
        bases={**starts, "init": INIT, **bases},
        only={**{name: ONLY_STARTS[name] for name in starts}, "init": ONLY_INIT, **only},
        values={**shared, **values},
        contexts={**CONTEXTS, **(contexts or {})},
        detected={"init": OF_START, **detected},
        exempt=EXEMPT,
    )


@contextlib.contextmanager
def folder_of_runs(tmp_path_factory: pytest.TempPathFactory, changes: Flat | None = None) -> Iterator[None]:
    """Work in a new folder with the run ``start``, see ``write_start``."""
    with contextlib.chdir(tmp_path_factory.mktemp("runs")):
        write_start(Path(), changes)
        yield


def outcome(out: Path, artefact: str, config: type, results: Flat, *predictions: Any) -> Outcome:
    """Outcome of a run folder: its weights, its log, its results without times, and predictions."""
    timeless = {name: value for name, value in results.items() if name != "seconds"}
    lines = [line for file in sorted(out.rglob("metrics.jsonl")) for line in metric_lines(file.parent)]
    weights = hash_files(out / artefact / "model.safetensors")
    return Outcome(weights, (timeless, lines, *predictions), read_config_toml(out, config))


def write_start(folder: Path, changes: Flat | None = None) -> None:
    """Write the run ``start`` of pretraining and word vectors of the encoder's width into a folder."""
    settings = {**SMALL, "train.epochs": 1, "encoder.n_layers": 2, "encoder.dropout": 0.2, "encoder.ngrams": 2}
    settings |= changes or {}
    texts = topic_texts(60, seed=5)[0]
    nlp_tasks.pretrain(texts, validation=texts[:10], out=folder / "start", **nested(settings))
    random = np.random.default_rng(0)
    words = {word.lower() for topic in TOPICS.values() for word in topic}
    lines = [f"{word} {' '.join(map(str, random.normal(size=8).round(3)))}\n" for word in sorted(words)]
    (folder / "vectors.txt").write_text("".join([f"{len(lines)} 8\n", *lines]))
