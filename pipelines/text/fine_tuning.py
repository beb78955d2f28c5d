"""What training a text task is, whatever the task: read, fit, tell."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.config import FilesConfig, TokenizerConfig
from nlp_tasks.qa.config import ReadingFilesConfig
from recsys_bert.errors import InputError
from recsys_bert.objectives.config import DistillationConfig

if TYPE_CHECKING:
    from torch import nn

    from nlp_tasks.data import Table
    from recsys_bert.training.config import TrainConfig
    from recsys_bert.training.loop import Batches


def check_files(files: FilesConfig | ReadingFilesConfig) -> None:
    """Check that there is something to train on.

    Raises:
        InputError: No training file.
    """
    if files.train is None:
        raise InputError("no training file is given; name it with --data.train FILE.")


def check_distillation(teacher: Path | None, distillation: DistillationConfig) -> None:
    """Check that there is a teacher where something is to be taken from one.

    Raises:
        InputError: There is none.
    """
    if distillation != DistillationConfig() and teacher is None:
        raise InputError("distillation says what is taken from a teacher; give teacher as well.")


def read_splits(
    files: FilesConfig, texts: Sequence[str], label: str | None, *, separator: str | None = None, seed: int = 0
) -> "dict[str, Table]":
    """Read ``train``, ``validation`` (held out of the training file where it has no own) and, if given, ``test``.

    Raises:
        InputError: See ``read_table``.
    """
    from nlp_tasks.data import hold_out, read_table

    paths = {"train": files.train, "validation": files.validation, "test": files.test}
    tables = {
        name: read_table(path, files, texts, label, separator) for name, path in paths.items() if path is not None
    }
    if "validation" not in tables:
        tables["train"], tables["validation"] = hold_out(tables["train"], files.validation_share, seed)
    return {name: tables[name] for name in paths if name in tables}


def check_sources(
    out: Path, data: Iterable[Path], init: Path | None, tokenizer: TokenizerConfig, teacher: Path | None = None
) -> None:
    """Note what a run is trained on and begins with, or check that it is the same when it goes on.

    A run that goes on has its weights, but takes the tokenizer from ``init`` again: from another one, words would have
    the rows of others.

    Args:
        out: The run folder.
        data: The files that it is trained on.
        init: The run that it begins with.
        tokenizer: Whose folder and vectors it begins with.
        teacher: The run that it learns from.

    Raises:
        InputError: See ``check_unchanged``.
    """
    from nlp_tasks.encoders import start_files
    from recsys_bert.training.run_folder import check_files_unchanged

    check_files_unchanged(out, [*data, *start_files(init, tokenizer, teacher)])


def train(
    loss: "nn.Module",
    model: "nn.Module",
    batches: "Batches",
    config: "TrainConfig",
    out: Path,
    validate: Callable[[], dict[str, Any]] | None,
    label: str,
    *,
    before_step: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Fit ``loss``, keep the best epoch, and say how it went.

    Args:
        loss: The module that ``fit`` minimises.
        model: What is kept of it, whose parameters are counted.
        batches: The training examples.
        config: The settings.
        out: The run folder.
        validate: Figures of the model as it is; those that are numbers are logged. None: nothing is held out for it,
            and the last epoch is kept.
        label: Shown before the progress.
        before_step: Called with the number of the optimiser step to come.

    Returns:
        ``best``, ``best_epoch``, ``epochs``, ``seconds``, ``parameters``.
    """
    from recsys_bert.training.loop import fit

    measure = None if validate is None else lambda _: _numbers(validate())
    summary = fit(loss, batches, config, out, validate=measure, before_step=before_step, label=label)
    return {
        "best": summary.best,
        "best_epoch": summary.best_epoch,
        "epochs": summary.epochs,
        "seconds": round(summary.seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def tell(metrics: dict[str, Any], title: str) -> None:
    """Say the figures that are numbers, on stderr."""
    shown = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in _numbers(metrics).items() if name != "examples"]
    print(f"{title}, {metrics['examples']:,} examples: {', '.join(shown)}", file=sys.stderr)


def tell_training(results: dict[str, Any], wrote: Path) -> None:
    """Say which epoch was kept, and where the artefact lies."""
    kept = f"kept epoch {results['best_epoch']} of {results['epochs']}, {results['parameters']:,} parameters"
    print(f"{kept}; wrote {wrote} in {results['seconds']:.0f} s", file=sys.stderr)


def counted(tables: "dict[str, Table]", inputs: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What was left out, shortened or read in windows, by split; empty where nothing was."""
    found = {name: {**table.left_out, **inputs[name].counts} for name, table in tables.items()}
    return {name: counts for name, counts in found.items() if counts}
