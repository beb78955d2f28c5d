"""The runs of a comparison: every cell with every seed, each in a run folder of its own.

A run is finished when its folder has ``test.json``, which is written last: what it gave on the test as a whole, beside
``test.npz``, the same example by example.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.comparison.grid import Cell
from pipelines.comparison.measures import Measures
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config

if TYPE_CHECKING:
    from recsys_bert.evaluation.comparison import Run


@dataclass(frozen=True)
class Trial:
    """A cell with one seed."""

    cell: Cell
    seed: int
    config: Any
    """Settings of its training."""

    @property
    def out(self) -> Path:
        """Its run folder."""
        return Path(self.config.out)

    @property
    def has_begun(self) -> bool:
        """Whether it was trained, wholly or in part."""
        return (self.out / "config.toml").exists()

    @property
    def is_finished(self) -> bool:
        """Whether it was trained and measured."""
        return (self.out / "test.json").exists()

    def __str__(self) -> str:
        return f"{self.cell.name}, seed {self.seed}"


def make_trials(kind: type[Any], recipe: Path, cells: Sequence[Cell], seeds: int, out: Path) -> list[Trial]:
    """Resolve the settings of every cell with every seed.

    Args:
        kind: ``Config`` of the pipeline.
        recipe: What the cells have in common.
        cells: What they differ in.
        seeds: How many; ``train.seed`` counts from 0.
        out: Folder of the comparison.

    Raises:
        InputError: Everything that is wrong with any cell's settings.
    """
    for name in ("out", "train.seed"):
        if name in cells[0].values:
            raise InputError(f"{name} cannot be in the grid; the comparison sets it for every run.")
    trials, wrong = [], _Complaints(len(cells))
    for cell in cells:
        for seed in range(seeds):
            where = out / "runs" / cell.folder / f"seed-{seed}"
            try:
                config = read_config(kind, recipe, {**cell.values, "out": str(where), "train.seed": seed})
            except InputError as error:
                wrong.add(str(error), cell)
                break
            trials.append(Trial(cell, seed, config))
    wrong.raise_any()
    return trials


def check(trials: Sequence[Trial], measures: Measures, rehearse: Callable[[Any], None]) -> None:
    """Find out before any training what would stop it.

    Args:
        trials: All of them.
        measures: Of the command.
        rehearse: Goes with the settings of a run up to where its training would begin.

    Raises:
        InputError: A run folder holds a run with other settings, or measured on another test; the cells have different
            tests; or parts of a cell refuse each other, or the data.
    """
    from recsys_bert.files import read_json
    from recsys_bert.progress import Progress
    from recsys_bert.training.run_folder import check_out

    firsts = [trial for trial in trials if trial.seed == 0]
    wrong = _Complaints(len(firsts))
    asked = {trial.cell.name: measures.asked(trial.config) for trial in firsts}
    if other := next((name for name in asked if asked[name] != asked[firsts[0].cell.name]), None):
        raise InputError(
            f"{other} has another test than {firsts[0].cell.name}; cells are compared on the same examples. Leave what "
            "names the test out of the grid."
        )
    for trial in trials:
        check_out(trial.out, trial.config)
        if trial.is_finished and read_json(trial.out / "test.json")["asked"] != asked[trial.cell.name]:
            raise InputError(f"{trial.out} was measured on another test than the one that is there now. Delete it.")
    _check_data([trial.out for trial in trials])
    begun = {trial.cell.name for trial in trials if trial.has_begun}
    with Progress("checking the cells", len(firsts), "cells") as progress:
        for trial in firsts:
            try:
                if trial.cell.name not in begun:
                    rehearse(trial.config)
            except InputError as error:
                wrong.add(str(error), trial.cell)
            progress.advance()
    wrong.raise_any()


def _check_data(folders: Sequence[Path]) -> None:
    """Refuse runs that were begun with different contents of one file; each run notes them itself."""
    from recsys_bert.files import read_json

    known: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        for path, digest in (read_json(folder / "data.json") if (folder / "data.json").exists() else {}).items():
            before, earlier = known.setdefault(path, (digest, folder))
            if before != digest:
                raise InputError(f"{path} was changed between {earlier} and {folder}. Delete the one that is outdated.")


def train(trial: Trial, beside: Sequence[Trial], run: Callable[[Any], dict[str, Any]], measures: Measures) -> None:
    """Train one run, or go on with it, and measure it; its checkpoints are removed then, its model stays.

    Args:
        trial: Which.
        beside: All runs of the comparison.
        run: The pipeline.
        measures: Of the command.

    Raises:
        InputError: See the pipeline; its loss may have diverged. Or its data are not those of the other runs.
    """
    import numpy as np

    from recsys_bert.files import replacing, write_json

    told = run(trial.config)
    _check_data([one.out for one in (*beside, trial)])
    measured = measures.measure(trial.config)
    with replacing(trial.out / "test.npz") as aside, open(aside, "wb") as file:
        np.savez_compressed(file, **measured.examples)  # type: ignore[arg-type]
    metrics = {name: float(np.nanmean(values)) for name, values in measured.examples.items()} | measured.metrics
    kept = {name: told[name] for name in ("seconds", "parameters", "epochs", "best_epoch")}
    write_json(trial.out / "test.json", {"asked": measures.asked(trial.config), "metrics": metrics, **kept})
    shutil.rmtree(trial.out / "checkpoints", ignore_errors=True)


def finished_run(trial: Trial, monitor: str) -> "tuple[Run, str]":
    """What a finished trial gave, and the measure whose examples these are: ``monitor`` if it has any, else the first.

    Raises:
        InputError: A file is damaged.
    """
    import numpy as np

    from pipelines.support.run_records import logged
    from recsys_bert.evaluation.comparison import Run
    from recsys_bert.files import read_json

    told = read_json(trial.out / "test.json")
    try:
        with open(trial.out / "test.npz", "rb") as file, np.load(file) as arrays:
            examples = dict(arrays)
    except Exception as error:  # unpacking a damaged file raises almost anything
        raise InputError(f"{trial.out / 'test.npz'} is damaged ({error}); delete {trial.out}.") from error
    measure = monitor if monitor in examples else next(iter(examples))
    found = Run(
        seed=trial.seed,
        metrics=told["metrics"],
        examples=examples[measure],
        curve=[(line["epoch"], line[monitor]) for line in logged(trial.out) if monitor in line],
        **{name: told[name] for name in ("seconds", "parameters", "epochs", "best_epoch")},
    )
    return found, measure


class _Complaints:
    """What is wrong, each with the cells that it is wrong with."""

    def __init__(self, cells: int) -> None:
        self._cells, self._found = cells, dict[str, list[str]]()

    def add(self, message: str, cell: Cell) -> None:
        """Note one."""
        self._found.setdefault(message, []).append(cell.name)

    def raise_any(self) -> None:
        """Raise all of them together; where a message is not about all cells, with their names."""
        lines = [
            message if len(names) == self._cells else f"{'; '.join(names)}: {message}"
            for message, names in self._found.items()
        ]
        if lines:
            raise InputError("\n".join(lines))
