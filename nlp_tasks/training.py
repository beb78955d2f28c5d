"""Training of a text task, whatever the task: begin the run, fit, evaluate, write the artefact."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.config import DERIVED
from recsys_bert.files import write_json
from recsys_bert.training.adversarial import check_table
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.epochs import Batches
from recsys_bert.training.loop import fit
from recsys_bert.training.run_folder import begin, check_unchanged, is_first_process, run_folder


class RunConfig(Protocol):
    """Settings of a task's training, as far as the loop needs them."""

    @property
    def train(self) -> TrainConfig:
        """Settings of the loop."""


@dataclass(frozen=True, kw_only=True)
class TaskTraining:
    """A task's training, built and checked; nothing is written yet."""

    kind: str
    """Kind of the artefact, and its folder in the run: ``classifier``."""

    loss: nn.Module
    """Module that ``fit`` minimises."""

    model: nn.Module
    """Part of it that is saved; its parameters are counted."""

    batches: Batches
    """Training examples."""

    sources: Mapping[Path, str]
    """Fingerprint of everything that is read: data, checkpoints, tokenizer, vectors; by path."""

    splits: Sequence[str]
    """Splits to evaluate: ``validation``, ``test``, as far as there are any."""

    evaluate: Callable[[str], dict[str, Any]]
    """Metrics of a split, ``examples`` among them; on ``validation`` thresholds are tuned first."""

    record: Callable[[], dict[str, Any]]
    """Further entries of ``metrics.json``: numbers of examples, counts, thresholds."""

    save: Callable[[Path], None]
    """Write the artefact into a folder."""

    @property
    def name(self) -> str:
        """The kind in words."""
        return self.kind.replace("_", " ")


def train_task(training: TaskTraining, config: RunConfig, out: Path | None) -> dict[str, Any]:
    """Train, keep the best epoch, evaluate once on every split, and write artefact and ``metrics.json``.

    Args:
        training: The parts.
        config: All settings, which become ``config.toml``.
        out: Run folder; a stopped run there is resumed. None: a temporary one, removed afterwards.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        InputError: See ``begin_task`` and ``fit``.
    """
    with run_folder(out) as folder:
        with begin_task(training, config, folder):
            results = fit_task(training, config.train, folder)
            write_task(training, results, folder)
        print_summary(results, folder / training.kind if out is not None else None)
    return results


@contextlib.contextmanager
def begin_task(training: TaskTraining, config: RunConfig, out: Path) -> Iterator[None]:
    """Begin or resume the run folder, locked within the block; entered after everything that bad input can stop.

    Raises:
        InputError: Another run lies there, a source changed since it was begun, or the adversarial table is unknown.
    """
    check_table(training.loss, config.train)
    with begin(out, resolved(config, training.model)):
        check_unchanged(out, dict(training.sources))
        print_counted(training.record().get("counted", {}))
        yield


def resolved(config: Any, model: nn.Module) -> Any:
    """Settings with the encoder that is trained, as ``init`` has it; those that follow from the data stay out."""
    encoder = getattr(getattr(model, "encoder", None), "config", None)
    if encoder is None or config.init is None:
        return config
    return replace(config, encoder=replace(encoder, **{name: getattr(config.encoder, name) for name in DERIVED}))


def print_counted(counted: Mapping[str, Mapping[str, int]]) -> None:
    """Print what was left out, repaired or shortened, by split or file, on stderr; the first process alone does."""
    if is_first_process():
        counts = [(split, name, n) for split, some in counted.items() for name, n in some.items()]
        lines = (f"{split}: {n:,} {name.replace('_', ' ')}" for split, name, n in counts)
        print("".join(f"{line}\n" for line in lines), end="", file=sys.stderr)


def fit_task(
    training: TaskTraining, config: TrainConfig, folder: Path, *, before_step: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Fit the loss, keep the best epoch by validation (the last one without), and evaluate every split.

    Args:
        training: The parts.
        config: Settings of the loop.
        folder: For checkpoints and curves.
        before_step: Called with the number of the optimiser step to come.

    Returns:
        ``best``, ``best_epoch``, ``epochs``, ``seconds``, ``parameters``; metrics by split; and ``training.record()``.
    """
    validated = "validation" in training.splits
    results = fit_best(
        training.loss,
        training.model,
        training.batches,
        config,
        folder,
        (lambda: training.evaluate("validation")) if validated else None,
        f"training the {training.name}",
        before_step=before_step,
    )
    for split in training.splits:
        results[split] = training.evaluate(split)
        print_metrics(results[split], split)
    return results | training.record()


def fit_best(
    loss: nn.Module,
    model: nn.Module,
    batches: Batches,
    config: TrainConfig,
    folder: Path,
    validate: Callable[[], dict[str, Any]] | None,
    label: str,
    *,
    before_step: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Fit a loss and keep the best epoch.

    Args:
        loss: The module that ``fit`` minimises.
        model: Part of it that is saved; its parameters are counted.
        batches: The training examples.
        config: Settings of the loop.
        folder: For checkpoints and curves.
        validate: Metrics of the current weights, of which numbers are logged; None keeps the last epoch.
        label: Before the progress.
        before_step: Called with the number of the optimiser step to come.

    Returns:
        ``best``, ``best_epoch``, ``epochs``, ``seconds``, ``parameters``.
    """
    scalars = None if validate is None else lambda _: _scalars(validate())
    summary = fit(loss, batches, config, folder, validate=scalars, before_step=before_step, label=label)
    return {
        "best": summary.best,
        "best_epoch": summary.best_epoch,
        "epochs": summary.epochs,
        "seconds": round(summary.seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def write_task(training: TaskTraining, results: dict[str, Any], out: Path) -> None:
    """Write artefact, its record and ``metrics.json``; the first process alone does."""
    if is_first_process():
        training.save(out / training.kind)
        write_json(out / "metrics.json", results, sealed=True)
        record_artefact(out, training.kind)


def print_metrics(metrics: dict[str, Any], title: str) -> None:
    """Print metrics that are numbers, on stderr."""
    numbers = [
        f"{name.replace('_', ' ')} {value:.4f}" for name, value in _scalars(metrics).items() if name != "examples"
    ]
    print(f"{title}, {metrics['examples']:,} examples: {', '.join(numbers)}", file=sys.stderr)


def print_summary(results: dict[str, Any], artefact: Path | None) -> None:
    """Print the epoch kept and the artefact's folder, where there is one, on stderr; the first process alone does."""
    if is_first_process():
        wrote = "" if artefact is None else f"; wrote {artefact}"
        summary = f"kept epoch {results['best_epoch']} of {results['epochs']}, {results['parameters']:,} parameters"
        print(f"{summary}{wrote} in {results['seconds']:.0f} s", file=sys.stderr)


def _scalars(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def nonempty(counts: Mapping[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Counts by split, without the splits that have none."""
    return {name: some for name, some in counts.items() if some}
