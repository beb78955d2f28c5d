"""The study in a folder: what was tried, by whom, and what comes next; shared by any number of processes.

A trial belongs to the process that holds the lock of its run folder. A trial without one was begun by a process that
is gone: it is queued again, and its run goes on where it stopped. All decisions are made under the lock of the study.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from recsys_bert.locks import is_being_written, only_writer, waiting_lock
from recsys_bert.stages.tune_config import TuneConfig
from recsys_bert.stages.tuning.journal import open_journal
from recsys_bert.stages.tuning.space import Dimension

_FULL_TRIALS = 5  # that the median pruner compares with at least


@dataclass
class Attempt:
    """A trial that this process trains; its run folder is locked."""

    trial: Trial
    number: int
    """Counted from 0; the same when it is tried again."""
    folder: Path
    values: dict[str, Any]
    """Setting → value."""
    lock: contextlib.ExitStack
    reported: dict[int, float] = field(default_factory=dict)
    """Epoch → validation."""

    def report(self, epoch: int, value: float) -> None:
        """Note a validation; a second one of the same epoch, of a run that was resumed, is the same."""
        if epoch not in self.reported:
            self.reported[epoch] = value
            self.trial.report(value, epoch)


class Study:
    """A search in a folder.

    Args:
        out: The folder.
        space: Its dimensions.
        config: The search's settings.
        higher_is_better: Direction of the metric.
        epochs: Largest number of epochs of a trial.
        validate_every: Epochs between validations.
    """

    def __init__(
        self,
        out: Path,
        space: Sequence[Dimension],
        config: TuneConfig,
        *,
        higher_is_better: bool,
        epochs: int,
        validate_every: int = 1,
    ) -> None:
        self.out, self.space, self.config = out, space, config
        self.sign = 1 if higher_is_better else -1
        with self.locked():
            self.optuna = optuna.create_study(
                storage=open_journal(out / "journal.log"),
                study_name="tune",
                direction="maximize" if higher_is_better else "minimize",
                pruner=_pruner(config.pruner, config.startup_trials, validate_every, epochs),
                load_if_exists=True,
            )

    def locked(self) -> "contextlib.AbstractContextManager[None]":
        """Hold the lock of the study, waiting for it."""
        return waiting_lock(self.out / ".study.lock")

    def begin_with(self, suggestions: dict[str, Any]) -> None:
        """Try these first, unless anything was tried before."""
        with self.locked():
            if not self.optuna.get_trials(deepcopy=False):
                self.optuna.enqueue_trial(suggestions, user_attrs={"is_recipe": True})

    def next(self) -> Attempt | None:
        """Begin the next trial: one of a process that is gone, or a new one; None where the budget is used up.

        A trial with the settings of an earlier one takes over its result.
        """
        while True:
            with self.locked():
                self._queue_abandoned()
                if self._is_done():
                    return None
                attempt = self._ask()
                twin = self._twin(attempt)
                if twin is None:
                    return attempt
                attempt.trial.set_user_attr("same_as", twin.user_attrs["number"])
                attempt.trial.set_user_attr("why", twin.user_attrs.get("why"))
                is_complete = twin.state == TrialState.COMPLETE
                self.optuna.tell(attempt.trial, twin.value if is_complete else None, twin.state)
                attempt.lock.close()

    def finish(
        self, attempt: Attempt, state: Literal["complete", "pruned", "failed"], value: float | None, why: str = ""
    ) -> None:
        """Record the result of a trial, and free its folder."""
        with self.locked():
            if why:
                attempt.trial.set_user_attr("why", why)
            states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
            self.optuna.tell(attempt.trial, value, states[state])
            attempt.lock.close()

    def postpone(self, attempt: Attempt) -> None:
        """Queue a trial that was stopped; its run goes on when somebody takes it up."""
        with self.locked():
            self._queue_again(self.optuna.get_trials(deepcopy=False)[attempt.trial.number], killed=False)
            attempt.lock.close()

    def trials(self) -> list[FrozenTrial]:
        """Last attempt at every trial, by number."""
        last: dict[int, FrozenTrial] = {}
        for trial in self.optuna.get_trials(deepcopy=False):
            if "number" in trial.user_attrs:
                last[trial.user_attrs["number"]] = trial
        return [last[number] for number in sorted(last)]

    def best(self) -> FrozenTrial | None:
        """The best complete trial, the earliest among equals; None without one."""
        complete = [one for one in self.trials() if one.state == TrialState.COMPLETE and one.value is not None]
        return max(complete, key=lambda one: self.sign * float(one.value or 0), default=None)

    def folder(self, number: int) -> Path:
        """Run folder of a trial."""
        return self.out / "trials" / f"{number:04d}"

    def values(self, trial: FrozenTrial | Trial) -> dict[str, Any]:
        """Setting → value of a trial."""
        params = trial.params or trial.user_attrs["params"]  # of one that waits, optuna has none yet
        return {one.name: one.value(params[one.name]) for one in self.space}

    def is_exhausted(self) -> bool:
        """True if every combination of the space was tried."""
        size = 1
        for one in self.space:
            if one.size is None:
                return False
            size *= one.size
        return len({tuple(sorted(one.params.items())) for one in self.trials() if one.state.is_finished()}) >= size

    def _is_done(self) -> bool:
        waits = any(one.state == TrialState.WAITING for one in self.optuna.get_trials(deepcopy=False))
        n_begun, limit = len(self.trials()), self.config.trials
        return not waits and (self.is_exhausted() or 0 < limit <= n_begun)

    def _ask(self) -> Attempt:
        n_begun = len(self.trials())
        # seeded by the number, so that a search that was stopped suggests what it would have
        self.optuna.sampler = _sampler(self.config.sampler, self.config.startup_trials, self.config.seed + n_begun)
        trial = self.optuna.ask({one.name: one.distribution() for one in self.space})
        number = trial.user_attrs.get("number", n_begun)
        attempt = Attempt(trial, number, self.folder(number), self.values(trial), contextlib.ExitStack())
        attempt.lock.enter_context(only_writer(attempt.folder))
        trial.set_user_attr("worker", {"host": socket.gethostname(), "pid": os.getpid()})
        trial.set_user_attr("params", trial.params)
        trial.set_user_attr("number", number)
        return attempt

    def _twin(self, attempt: Attempt) -> FrozenTrial | None:
        """An earlier finished trial with the same settings."""
        return next(
            (
                one
                for one in self.trials()
                if one.user_attrs["number"] != attempt.number
                and one.params == attempt.trial.params
                and one.state.is_finished()
            ),
            None,
        )

    def _queue_abandoned(self) -> None:
        """Queue the trials of processes that are gone, as often as ``retries`` allows."""
        for trial in self.optuna.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING and not self._has_worker(trial):
                self._queue_again(trial, killed=True)

    def _queue_again(self, trial: FrozenTrial, *, killed: bool) -> None:
        attrs = {name: value for name, value in trial.user_attrs.items() if name != "worker"}
        attrs["deaths"] = attrs.get("deaths", 0) + killed
        self.optuna.tell(trial.number, state=TrialState.FAIL)
        if attrs["deaths"] <= self.config.retries:
            self.optuna.enqueue_trial(trial.params, user_attrs=attrs)

    def _has_worker(self, trial: FrozenTrial) -> bool:
        """True if the process of a trial is alive: by the lock of its folder, or its pid where a disk has no locks."""
        if "number" not in trial.user_attrs:  # killed between two lines of ``_ask``: the study's lock is ours now
            return False
        locked = is_being_written(self.folder(trial.user_attrs["number"]))
        return locked if locked is not None else _is_alive(trial.user_attrs["worker"])


def _is_alive(worker: dict[str, Any]) -> bool:
    """True for a process of another host, which cannot be seen, and for one that is there."""
    if worker["host"] != socket.gethostname():
        return True
    try:
        os.kill(worker["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sampler(name: str, startup_trials: int, seed: int) -> "optuna.samplers.BaseSampler":
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup_trials)


def _pruner(name: str, startup_trials: int, validate_every: int, epochs: int) -> "optuna.pruners.BasePruner":
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=min(_FULL_TRIALS, startup_trials))
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=min(validate_every, epochs), max_resource=epochs)
    return optuna.pruners.NopPruner()


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let optuna print warnings alone within the block."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
