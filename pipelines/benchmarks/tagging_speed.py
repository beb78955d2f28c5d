"""Tagging speed: memory and time of training by sentence length, and sentences per second of trained models.

    python -m pipelines.benchmarks.tagging_speed --out runs/tagging_speed --runs runs/text-resume-ner-*

Training: the sentences of a recipe's training file are joined, cut into equally long ones and trained on by `text tag
train`; the peak memory is that of the command, lexicon and libraries included, and an epoch ends with its checkpoint.
Then the run predicts the entities of the same sentences. Prediction: every run predicts those of its test file, from
text to entities, lexicon matching and Viterbi decoding included; rounds alternate between runs. Every measurement has a
process of its own.
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nlp_tasks.tagging.files import read_annotated
from nlp_tasks.tagging.sentences import Sentence
from pipelines.benchmarks.processes import run_alone
from pipelines.benchmarks.tables import write_tables
from pipelines.support.flags import load_config
from pipelines.text.tag import train
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.settings import read_config

_RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the speed of training by sentence length, and of prediction."""

    out: Path
    """Path of the tables (.md) and the same numbers (.json)."""

    recipes: tuple[Path, ...] = (_RECIPES / "text_resume_ner_crf.toml", _RECIPES / "text_resume_ner_flat.toml")
    """Recipes of `text tag train` whose training is measured; none measures prediction alone."""

    lengths: tuple[int, ...] = (50, 150, 300)
    """Characters of a sentence."""

    sentences: int = 256
    """Sentences of an epoch."""

    epochs: int = 3
    """Epochs of training; the first one is not timed, and the median of the others counts."""

    runs: tuple[Path, ...] = ()
    """Run folders of `text tag train` whose prediction is measured."""

    file: Path | None = None
    """Sentences for prediction; None: every run's own test file."""

    rounds: int = 3
    """Rounds of each run; the table has medians over them."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.sentences, *self.lengths) < 1 or self.epochs < 2:
            raise InputError(
                f"rounds is {self.rounds}, sentences {self.sentences}, lengths {list(self.lengths)}, epochs "
                f"{self.epochs}; the least is 1, of epochs 2."
            )
        if not (self.recipes and self.lengths) and not self.runs:
            raise InputError("there is nothing to measure; name recipes and lengths, or runs.")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the tables.

    Returns:
        The contents of the JSON file.

    Raises:
        InputError: A recipe's data or a run is missing or too small, or a program fails.
    """
    training, rounds = [], {folder: list[dict[str, Any]]() for folder in config.runs}
    total = len(config.recipes) * len(config.lengths) + config.rounds * len(rounds)
    with Progress("tagging speed", total, "measurements") as progress:
        for length in config.lengths:
            for recipe in config.recipes:
                training.append(_measure_training(config, recipe, length))
                progress.advance(figure=f"{recipe.stem} {length}")
        for _ in range(config.rounds):
            for folder, measurements in rounds.items():
                measurements.append(_measure_prediction(folder, config.file))
                progress.advance(figure=folder.name)
    result = {
        "config": {name: str(value) for name, value in asdict(config).items() if name != "out"},
        "machine": {"cores": os.cpu_count()},
        "training": training,
        "prediction": [_median(folder.name, measurements) for folder, measurements in rounds.items()],
    }
    table = _tables(config, result)
    write_tables(config.out, table, result)
    return result


def _measure_training(config: Config, recipe: Path, length: int) -> dict[str, Any]:
    """Train on sentences of one length, then predict them."""
    settings = read_config(train.Config, recipe)
    assert settings.data.train is not None  # a recipe without one is refused when it is read
    read = read_annotated(settings.data.train, settings.data)
    if any(len(sentence) != len("".join(sentence.words())) for sentence in read.sentences):
        raise InputError(f"the words of {read.path} are not single characters; name a recipe whose are.")
    texts = equally_long(read.sentences, length, config.sentences)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, lines in (("train.jsonl", texts), ("validation.jsonl", texts[:1])):
            (folder / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-m", "pipelines.cli", "text", "tag", "train", str(recipe.absolute())]
        command += ["--out", str(folder / "run"), "--data.train", str(folder / "train.jsonl")]
        command += ["--data.validation", str(folder / "validation.jsonl"), "--data.test", "None"]
        command += ["--data.format", "jsonl", "--data.granularity", "characters", "--length.max-len", "None"]
        command += ["--encoder.max-len", str(max(length + 2, settings.encoder.max_len))]
        command += ["--train.epochs", str(config.epochs), "--train.patience", "0"]
        ended = run_alone(command)
        prediction = _measure_prediction(folder / "run", folder / "train.jsonl")
        seconds = _seconds(folder / "run" / "metrics.jsonl")
    return {
        "recipe": recipe.stem,
        "length": length,
        "sentences": config.sentences,
        "batch_size": settings.train.batch_size,
        "matches": prediction["matches"] / config.sentences,
        "epoch_s": statistics.median(seconds),
        "epochs_s": seconds,
        "peak_bytes": ended.peak_bytes,
        "sentences_per_s": prediction["sentences_per_s"],
        "prediction_peak_bytes": prediction["peak_bytes"],
        "threads": prediction["threads"],
    }


def equally_long(sentences: list[Sentence], length: int, n: int) -> list[str]:
    """Join sentences and cut them into JSON lines of ``length`` characters, with the entities within one line.

    Args:
        sentences: Sentences of single characters, repeated as often as needed.
        length: Characters of a line.
        n: Lines.
    """
    lines: list[str] = []
    text, entities = "", list[tuple[int, int, str]]()
    endless = itertools.cycle(sentences)
    while len(lines) < n:
        while len(text) < length:
            one = next(endless)
            entities += [(len(text) + a, len(text) + b, kind) for a, b, kind in one.levels[0]]
            text += "".join(one.words())
        spans = [{"start": a, "end": b, "type": kind} for a, b, kind in entities if b <= length]
        lines.append(json.dumps({"text": text[:length], "entities": spans}, ensure_ascii=False))
        text, entities = text[length:], [(a - length, b - length, kind) for a, b, kind in entities if a >= length]
    return lines


def _seconds(metrics: Path) -> list[float]:
    """Seconds of every epoch but the first, its checkpoint included."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    ends = [line["seconds"] for line in lines if "seconds" in line]
    return [round(after - before, 2) for before, after in itertools.pairwise(ends)]


def _measure_prediction(folder: Path, file: Path | None) -> dict[str, Any]:
    """Predict entities in a process of its own."""
    command = [sys.executable, "-m", "pipelines.benchmarks.tagging_round", "--run", str(folder)]
    ended = run_alone(command if file is None else [*command, "--file", str(file)])
    return json.loads(ended.stdout.splitlines()[-1]) | {"peak_bytes": ended.peak_bytes}


def _median(name: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    speeds = [one["sentences_per_s"] for one in rounds]
    return rounds[0] | {
        "run": name,
        "sentences_per_s": statistics.median(speeds),
        "rounds": speeds,
        "peak_bytes": max(one["peak_bytes"] for one in rounds),
    }


def _tables(config: Config, result: dict[str, Any]) -> str:
    text = ""
    if rows := result["training"]:
        text += (
            f"Training on {config.sentences} equally long sentences, {config.epochs} epochs of which the first is not "
            f"timed; {os.cpu_count()} CPU cores, {rows[0]['threads']} threads.\n\n"
            "| recipe | characters | matches a sentence | batch | seconds an epoch | peak MiB | sentences a second "
            "predicting | peak MiB predicting |\n|---|---|---|---|---|---|---|---|\n"
        )
        text += "".join(
            f"| {row['recipe']} | {row['length']} | {row['matches']:,.0f} | {row['batch_size']} | "
            f"{row['epoch_s']:,.1f} | {row['peak_bytes'] / 2**20:,.0f} | {row['sentences_per_s']:,.1f} | "
            f"{row['prediction_peak_bytes'] / 2**20:,.0f} |\n"
            for row in rows
        )
    if rows := result["prediction"]:
        text += "\n" if text else ""
        text += (
            f"Prediction, {config.rounds} alternating rounds; {os.cpu_count()} CPU cores, {rows[0]['threads']} "
            "threads.\n\n| run | encoder | lexicon | head | parameters | sentences | characters a sentence | sentences "
            "a second | rounds, lowest to highest | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|\n"
        )
        text += "".join(
            f"| {row['run']} | {row['encoder']} | {row['lexicon']} | {row['head']} | {row['parameters']:,} | "
            f"{row['sentences']:,} | {row['words'] / row['sentences']:.0f} | {row['sentences_per_s']:,.1f} | "
            f"{min(row['rounds']):,.1f} to {max(row['rounds']):,.1f} | {row['peak_bytes'] / 2**20:,.0f} |\n"
            for row in rows
        )
    return text


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.tagging_speed"))
