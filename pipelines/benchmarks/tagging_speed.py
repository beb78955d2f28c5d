"""Named entities: memory and time of training by the length of sentences, and sentences a second of trained models.

    python -m pipelines.benchmarks.tagging_speed --out runs/ner_speed --runs runs/text-resume-ner-*

Training: the sentences of a recipe's training file are joined and cut into equally long ones, of which as many are
trained on by `text tag train` as a user would; the peak is that of the whole command, lexicon and libraries included,
and an epoch ends with its checkpoint. Then the run finds the entities of the same sentences. Prediction: every run
that is given finds those of its test file, from text to entities, words of a lexicon and best tag sequences included;
the runs take turns. Every figure has a process of its own.
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

from nlp_tasks.tagging.data import read_annotated
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
    """Measure training by length, and prediction."""

    out: Path
    """Where the tables (with the ending .md) and the same numbers (.json) are written."""

    recipes: tuple[Path, ...] = (_RECIPES / "text_resume_ner_crf.toml", _RECIPES / "text_resume_ner_flat.toml")
    """Recipes of `text tag train` whose training is measured; none measures prediction alone."""

    lengths: tuple[int, ...] = (50, 150, 300)
    """Characters of a sentence."""

    sentences: int = 256
    """Sentences of an epoch."""

    epochs: int = 3
    """Epochs that are trained; the first one is not timed, of the others the median counts."""

    runs: tuple[Path, ...] = ()
    """Run folders of `text tag train` whose prediction is measured."""

    file: Path | None = None
    """Sentences for prediction; None: every run's own test file."""

    rounds: int = 3
    """Turns of each run; the table has medians over them."""

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
        What the JSON file holds.

    Raises:
        InputError: A recipe's data or a run is not there or too small, or a program fails.
    """
    training, turns = [], {folder: list[dict[str, Any]]() for folder in config.runs}
    total = len(config.recipes) * len(config.lengths) + config.rounds * len(turns)
    with Progress("NER speed", total, "metrics") as progress:
        for length in config.lengths:
            for recipe in config.recipes:
                training.append(_trained(config, recipe, length))
                progress.advance(figure=f"{recipe.stem} {length}")
        for _ in range(config.rounds):
            for folder, mine in turns.items():
                mine.append(_turn(folder, config.file))
                progress.advance(figure=folder.name)
    result = {
        "config": {name: str(value) for name, value in asdict(config).items() if name != "out"},
        "machine": {"cores": os.cpu_count()},
        "training": training,
        "prediction": [_median(folder.name, mine) for folder, mine in turns.items()],
    }
    table = _tables(config, result)
    write_tables(config.out, table, result)
    return result


def _trained(config: Config, recipe: Path, length: int) -> dict[str, Any]:
    """Train on sentences of one length, then predict them."""
    settings = read_config(train.Config, recipe)
    assert settings.data.train is not None  # a recipe without one is refused when it is read
    read = read_annotated(settings.data.train, settings.data)
    if any(len(sentence) != len("".join(sentence.words())) for sentence in read.sentences):
        raise InputError(f"the units of {read.path} are not single characters; name a recipe whose are.")
    texts = equally_long(read.sentences, length, config.sentences)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, lines in (("train.jsonl", texts), ("validation.jsonl", texts[:1])):
            (folder / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-m", "pipelines.cli", "text", "tag", "train", str(recipe.absolute())]
        command += ["--out", str(folder / "run"), "--data.train", str(folder / "train.jsonl")]
        command += ["--data.validation", str(folder / "validation.jsonl"), "--data.test", "None"]
        command += ["--data.format", "jsonl", "--data.units", "characters", "--length.max-len", "None"]
        command += ["--encoder.max-len", str(max(length + 2, settings.encoder.max_len))]
        command += ["--train.epochs", str(config.epochs), "--train.patience", "0"]
        ended = run_alone(command)
        found = _turn(folder / "run", folder / "train.jsonl")
        seconds = _seconds(folder / "run" / "metrics.jsonl")
    return {
        "recipe": recipe.stem,
        "length": length,
        "sentences": config.sentences,
        "batch_size": settings.train.batch_size,
        "words": found["words"] / config.sentences,
        "epoch_s": statistics.median(seconds),
        "epochs_s": seconds,
        "peak_bytes": ended.peak_bytes,
        "sentences_per_s": found["sentences_per_s"],
        "prediction_peak_bytes": found["peak_bytes"],
        "threads": found["threads"],
    }


def equally_long(sentences: list[Sentence], length: int, n: int) -> list[str]:
    """Join sentences and cut them anew, into JSON lines of ``length`` characters with the entities that lie within one.

    Args:
        sentences: Sentences of single characters; as many are taken as it needs, from the start again at their end.
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
    """Time of every epoch but the first, with its checkpoint."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    ends = [line["seconds"] for line in lines if "seconds" in line]
    return [round(after - before, 2) for before, after in itertools.pairwise(ends)]


def _turn(folder: Path, file: Path | None) -> dict[str, Any]:
    """Find entities in a process of its own."""
    command = [sys.executable, "-m", "pipelines.benchmarks.tagging_round", "--run", str(folder)]
    ended = run_alone(command if file is None else [*command, "--file", str(file)])
    return json.loads(ended.printed.splitlines()[-1]) | {"peak_bytes": ended.peak_bytes}


def _median(name: str, turns: list[dict[str, Any]]) -> dict[str, Any]:
    speeds = [turn["sentences_per_s"] for turn in turns]
    return turns[0] | {
        "run": name,
        "sentences_per_s": statistics.median(speeds),
        "rounds": speeds,
        "peak_bytes": max(turn["peak_bytes"] for turn in turns),
    }


def _tables(config: Config, result: dict[str, Any]) -> str:
    text = ""
    if rows := result["training"]:
        text += (
            f"Training on {config.sentences} equally long sentences, {config.epochs} epochs of which the first is not "
            f"timed; {os.cpu_count()} CPU cores, {rows[0]['threads']} threads.\n\n"
            "| recipe | characters | words a sentence | batch | seconds an epoch | peak MiB | sentences a second "
            "predicting | peak MiB predicting |\n|---|---|---|---|---|---|---|---|\n"
        )
        text += "".join(
            f"| {row['recipe']} | {row['length']} | {row['words']:,.0f} | {row['batch_size']} | "
            f"{row['epoch_s']:,.1f} | {row['peak_bytes'] / 2**20:,.0f} | {row['sentences_per_s']:,.1f} | "
            f"{row['prediction_peak_bytes'] / 2**20:,.0f} |\n"
            for row in rows
        )
    if rows := result["prediction"]:
        text += "\n" if text else ""
        text += (
            f"Prediction, {config.rounds} alternating rounds; {os.cpu_count()} CPU cores, {rows[0]['threads']} "
            "threads.\n\n| run | encoder | words | head | parameters | sentences | characters a sentence | sentences a "
            "second | rounds, lowest to highest | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|\n"
        )
        text += "".join(
            f"| {row['run']} | {row['encoder']} | {row['words_part']} | {row['head']} | {row['parameters']:,} | "
            f"{row['sentences']:,} | {row['units'] / row['sentences']:.0f} | {row['sentences_per_s']:,.1f} | "
            f"{min(row['rounds']):,.1f} to {max(row['rounds']):,.1f} | {row['peak_bytes'] / 2**20:,.0f} |\n"
            for row in rows
        )
    return text


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.tagging_speed"))
