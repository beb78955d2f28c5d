"""The training runs of a comparison: every configuration with every seed, each in a run folder.

A run is finished when its folder has ``test.json``, which is written last: its metrics on the test; ``test.npz`` has
them example by example.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.checksums import file_digest
from recsys_bert.errors import InputError
from recsys_bert.evaluation.comparison import FinishedRun
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.progress import Progress
from recsys_bert.stages.comparison.grid import Configuration
from recsys_bert.training.metrics_file import read_metrics
from recsys_bert.training.run_folder import check_out, only_checking

_SUMMARY = ("seconds", "parameters", "epochs", "best_epoch")


@dataclass(frozen=True)
class HeldOutMetrics:
    """Metrics of a finished run on the test."""

    examples: dict[str, NDArray[np.float64]]
    """Metric → one value an example, ``[n]``, NaN where it has none; the metric is their mean. Higher is better."""

    metrics: dict[str, float]
    """Metrics of the test as a whole; higher is better."""


@dataclass(frozen=True)
class TrainingRun:
    """A configuration with one seed."""

    configuration: Configuration
    seed: int
    config: Any
    """Settings of its training."""
    out: Path
    """Its run folder."""

    @property
    def has_begun(self) -> bool:
        """True iff it was trained, wholly or in part."""
        return (self.out / "config.toml").exists()

    @property
    def is_finished(self) -> bool:
        """True iff it was trained and evaluated."""
        return (self.out / "test.json").exists()

    def __str__(self) -> str:
        return f"{self.configuration.name}, seed {self.seed}"


@dataclass(frozen=True)
class Trainer:
    """A command or a stage, as a comparison calls it."""

    title: str
    """In the report."""
    configure: Callable[[dict[str, Any], Path, int], Any]
    """Values of a configuration, run folder and seed → settings."""
    train: Callable[[TrainingRun], tuple[Any, dict[str, Any]]]
    """Train, or resume → the model and ``seconds``, ``parameters``, ``epochs``, ``best_epoch``. Calls
    ``run_folder.begin`` once everything that bad input can stop is done."""
    evaluate: Callable[[TrainingRun, Any], HeldOutMetrics]
    """Run and its model → metrics on the test."""
    test_fingerprint: Callable[[TrainingRun], str]
    """Fingerprint of the test examples; raises ``InputError`` where there are none."""


def make_runs(trainer: Trainer, configurations: Sequence[Configuration], seeds: int, out: Path) -> list[TrainingRun]:
    """Resolve the settings of every configuration with every seed.

    Args:
        trainer: The command or stage.
        configurations: Of the grid.
        seeds: Number of seeds; ``train.seed`` counts from 0.
        out: Folder of the comparison.

    Raises:
        InputError: Everything that is wrong with any configuration's settings.
    """
    for name in ("out", "train.seed", "seed"):
        if name in configurations[0].values:
            raise InputError(f"{name} cannot be in the grid; the comparison sets it for every run.")
    runs, errors = [], _Errors(len(configurations))
    for configuration in configurations:
        for seed in range(seeds):
            folder = out / "runs" / configuration.folder / f"seed-{seed}"
            try:
                config = trainer.configure(configuration.values, folder, seed)
            except InputError as error:
                errors.add(str(error), configuration)
                break
            runs.append(TrainingRun(configuration, seed, config, folder))
    errors.raise_any()
    return runs


def check_runs(runs: Sequence[TrainingRun], trainer: Trainer) -> None:
    """Check before any training for everything that would stop it.

    Raises:
        InputError: A run folder holds a run with other settings, or evaluated on another test; the configurations have
            different tests; or parts of a configuration refuse each other, or the data.
    """
    firsts = [run for run in runs if run.seed == 0]
    fingerprints = {run.configuration.name: trainer.test_fingerprint(run) for run in firsts}
    first = firsts[0].configuration.name
    if other := next((name for name in fingerprints if fingerprints[name] != fingerprints[first]), None):
        raise InputError(
            f"{other} has another test than {first}; configurations are compared on the same examples. Leave what "
            "names the test out of the grid."
        )
    for run in runs:
        if run.has_begun:
            with only_checking():  # compares with the settings as they were resolved, of the encoder too
                trainer.train(run)
        else:
            check_out(run.out, run.config)
        if run.is_finished and _test_record(run)["test"] != fingerprints[run.configuration.name]:
            raise InputError(f"{run.out} was evaluated on another test than the one that is there now. Delete it.")
    check_same_data([run.out for run in runs])
    begun = {run.configuration.name for run in runs if run.has_begun}
    errors = _Errors(len(firsts))
    with Progress("checking the grid", len(firsts), "configurations") as progress:
        for run in firsts:
            try:
                if run.configuration.name not in begun:
                    with only_checking():
                        trainer.train(run)
            except InputError as error:
                errors.add(str(error), run.configuration)
            progress.advance()
    errors.raise_any()


def check_same_data(folders: Sequence[Path]) -> None:
    """Refuse runs that were begun with different contents of one file; each run records them."""
    known: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        for path, fingerprint in _data_record(folder).items():
            before, earlier = known.setdefault(path, (fingerprint, folder))
            if before != fingerprint:
                raise InputError(f"{path} was changed between {earlier} and {folder}. Delete the one that is outdated.")


def _data_record(folder: Path) -> dict[str, str]:
    """Fingerprints that a run records in ``data.json``; empty for one that is not begun."""
    path = folder / "data.json"
    return dict(read_json(path, sealed=True)) if path.exists() else {}


def _test_record(run: TrainingRun) -> dict[str, Any]:
    """Contents of ``test.json``."""
    return dict(read_json(run.out / "test.json", sealed=True))


def train_run(run: TrainingRun, runs: Sequence[TrainingRun], trainer: Trainer) -> None:
    """Train one run, or resume it, and evaluate it; its checkpoints are removed then, its model stays.

    Args:
        run: The run.
        runs: All runs of the comparison.
        trainer: The command or stage.

    Raises:
        InputError: From the training; its loss may have diverged. Or its data are not those of the other runs.
    """
    model, summary = trainer.train(run)
    check_same_data([one.out for one in (*runs, run)])
    test = trainer.evaluate(run, model)
    with replacing(run.out / "test.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **test.examples)  # type: ignore[arg-type]
    metrics = {name: float(np.nanmean(values)) for name, values in test.examples.items()} | test.metrics
    numbers = {name: summary.get(name, 0) for name in _SUMMARY} | {"examples": file_digest(run.out / "test.npz")}
    record = {"test": trainer.test_fingerprint(run), "metrics": metrics, **numbers}
    write_json(run.out / "test.json", record, sealed=True)
    shutil.rmtree(run.out / "checkpoints", ignore_errors=True)


def finished_run(run: TrainingRun, monitor: str) -> tuple[FinishedRun, str]:
    """Read a finished run, and the metric of its examples: ``monitor`` if it has any, else the first.

    Raises:
        InputError: A file is damaged.
    """
    values = _test_record(run)
    try:
        if file_digest(run.out / "test.npz") != values["examples"]:
            raise ValueError("its contents are not those that were written")
        with open(run.out / "test.npz", "rb") as file, np.load(file) as arrays:
            examples = dict(arrays)
    except Exception as error:  # unpacking a damaged file raises almost anything
        raise InputError(f"{run.out / 'test.npz'} is damaged ({error}); delete {run.out}.") from error
    metric = monitor if monitor in examples else next(iter(examples))
    finished = FinishedRun(
        seed=run.seed,
        metrics=values["metrics"],
        examples=examples[metric],
        curve=[(line["epoch"], line[monitor]) for line in _log_of(run) if monitor in line],
        **{name: values[name] for name in _SUMMARY},
    )
    return finished, metric


def _log_of(run: TrainingRun) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``; none of a run that trained nothing."""
    return read_metrics(run.out / "metrics.jsonl") if (run.out / "metrics.jsonl").is_file() else []


def trains(config: Any) -> bool:
    """True for settings of a training; a score fusion has none."""
    return hasattr(config, "train")


def seed_name(kind: type) -> str:
    """Name of the seed among the settings of a command or stage."""
    return "train.seed" if "train" in (field.name for field in fields(kind)) else "seed"


def monitor_of(config: Any) -> str:
    """Validation metric that chose among epochs, or among the settings of a score fusion."""
    return str(config.train.monitor) if trains(config) else "ndcg@10"


class _Errors:
    """Messages, each with the configurations that it is about."""

    def __init__(self, n_configurations: int) -> None:
        self._n, self._names = n_configurations, dict[str, list[str]]()

    def add(self, message: str, configuration: Configuration) -> None:
        """Record one."""
        self._names.setdefault(message, []).append(configuration.name)

    def raise_any(self) -> None:
        """Raise all of them together; one that is not about all configurations begins with their names."""
        lines = [
            message if len(names) == self._n else f"{'; '.join(names)}: {message}"
            for message, names in self._names.items()
        ]
        if lines:
            raise InputError("\n".join(lines))
