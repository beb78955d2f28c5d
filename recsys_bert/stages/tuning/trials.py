"""Training of the trials of a search, one after the other, until the budget is used up."""

import json
import math
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError
from recsys_bert.full_disk import DiskFull
from recsys_bert.stages.comparison.grid import value_text
from recsys_bert.stages.comparison.runs import check_same_data
from recsys_bert.stages.tuning.study import Attempt, Study
from recsys_bert.stages.tuning.trainer import TrialTrainer
from recsys_bert.training.hidden_test import without_test
from recsys_bert.training.watching import Watch, watching

_KEPT = ("config.toml", "metrics.jsonl", "metrics.json", "data.json", "checksums.sha256")
"""Files of a trial that is not the best."""


class _Pruned(Exception):
    """The trial is worse than others at this epoch."""


class _TimeIsUp(Exception):
    """The hours of the search are over."""


def run_trials(study: Study, trainer: TrialTrainer, monitor: str, hours: float) -> None:
    """Train trial after trial in this process.

    Args:
        study: The study.
        trainer: The command or stage.
        monitor: Metric that is searched by.
        hours: This call begins no trial after that, and stops one at its next validation; 0 = no limit.

    Raises:
        InputError: The training validates nothing, or its data changed since the search began.
        KeyboardInterrupt: After Ctrl-C; the trial is queued, and goes on where it stopped.
    """
    deadline = time.monotonic() + hours * 3600 if hours else math.inf
    while time.monotonic() < deadline and (attempt := study.next()) is not None:
        limit = f" of {study.config.trials}" if study.config.trials else ""
        print(f"trial {attempt.number}{limit}: {describe(attempt.values)}", file=sys.stderr, flush=True)
        message = _run_trial(study, trainer, attempt, monitor, deadline)
        print(f"trial {attempt.number}: {message}{_best_so_far(study)}", file=sys.stderr, flush=True)


def describe(values: dict[str, Any]) -> str:
    """Settings of a trial on one line."""
    return " ".join(
        f"{name.rpartition('.')[2]}={f'{value:.4g}' if isinstance(value, float) else value_text(value)}"
        for name, value in values.items()
    )


def _run_trial(study: Study, trainer: TrialTrainer, attempt: Attempt, monitor: str, deadline: float) -> str:
    """Train, record the result, and describe it."""
    try:
        value = _train(study, trainer, attempt, monitor, deadline)
    except _Pruned:
        study.finish(attempt, "pruned", None)
        message = f"pruned after epoch {max(attempt.reported)}"
    except (_TimeIsUp, KeyboardInterrupt, DiskFull) as stop:
        study.postpone(attempt)
        if isinstance(stop, _TimeIsUp):
            return "the time is up; it is resumed by the next call"
        print("the same command goes on with this trial.", file=sys.stderr)
        raise
    except InputError as error:
        study.finish(attempt, "failed", None, str(error))
        message = f"failed: {error}"
    except Exception as error:  # hours of other trials are not to be lost for it
        traceback.print_exc()
        study.finish(attempt, "failed", None, f"{type(error).__name__}: {error}")
        message = f"failed: {type(error).__name__}: {error}"
    else:
        study.finish(attempt, "complete", value)
        message = f"validation {monitor} {value:.4f}"
    with study.locked():
        _write_best(study, trainer, monitor)
        _clear(study)
    return message


def _train(study: Study, trainer: TrialTrainer, attempt: Attempt, monitor: str, deadline: float) -> float:
    """Train, or resume; returns the best validation.

    Raises:
        InputError: The training refuses the settings, or diverges.
    """

    def validated(epoch: int, value: float) -> None:
        attempt.report(epoch, value)
        if attempt.trial.should_prune():
            raise _Pruned
        if time.monotonic() > deadline:
            raise _TimeIsUp

    for epoch, value in validations(attempt.folder, monitor):  # of a run that is resumed
        attempt.report(epoch, value)
    watch = Watch(attempt.folder, validated)
    settings = trainer.configure(attempt.values, attempt.folder)
    with watching(watch), without_test():
        trainer.train(settings, attempt.folder)
    check_same_data([study.folder(one.user_attrs["number"]) for one in study.trials()])
    if watch.best is None or not math.isfinite(watch.best):
        raise InputError(f"its best validation {monitor} is {watch.best}.")
    return watch.best


def validations(folder: Path, monitor: str) -> Iterator[tuple[int, float]]:
    """Epoch and value of the validations in the log of a run; a line that was cut off is left out."""
    path = folder / "metrics.jsonl"
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if monitor in line:
            yield line["epoch"], line[monitor]


def _best_so_far(study: Study) -> str:
    best = study.best()
    return "" if best is None else f" (best: trial {best.user_attrs['number']}, {best.value:.4f})"


def _write_best(study: Study, trainer: TrialTrainer, monitor: str) -> None:
    """Write ``best.toml``."""
    if (best := study.best()) is not None:
        first = (
            f"{trainer.title}, trial {best.user_attrs['number']} of {len(study.trials())}: validation {monitor} "
            f"{best.value:.6g}"
        )
        trainer.write_recipe(study.values(best), study.out / "best.toml", study.out / "best", first)


def _clear(study: Study) -> None:
    """Remove weights of finished trials but the best one, and all their checkpoints."""
    best = study.best()
    for trial in study.trials():
        folder = study.folder(trial.user_attrs["number"])
        if not trial.state.is_finished() or not folder.is_dir():
            continue
        is_best = best is not None and trial.number == best.number
        for entry in folder.iterdir():
            if entry.name == "checkpoints" or not (is_best or entry.name in _KEPT):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
