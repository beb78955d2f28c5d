"""Search for settings: trials of a space, chosen by TPE and pruned by validation; test data are never read."""

import contextlib
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.tune_config import TuneConfig
from recsys_bert.training.run_folder import TEMPORARY

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.stages.tuning.space import Dimension
    from recsys_bert.stages.tuning.study import Study
    from recsys_bert.stages.tuning.trainer import TrialTrainer


@dataclass(repr=False)
class Tuning:
    """Results of a search.

    Args:
        results: Everything that ``tune.json`` holds, as plain values.
    """

    results: dict[str, Any]

    @property
    def table(self) -> "pl.DataFrame":
        """One row a trial: its settings, state, best validation, epochs and seconds."""
        import polars as pl

        from recsys_bert.stages.comparison.grid import value_text

        names = list(self.results["space"])
        rows = []
        for trial in self.results["trials"]:
            values = {name: trial["values"].get(name) for name in names}
            row = {
                name: value_text(value) if isinstance(value, list | dict) else value for name, value in values.items()
            }
            about = {name: trial[name] for name in ("number", "state", "value", "epochs", "seconds", "why")}
            rows.append(about | row)
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)

    @property
    def best_value(self) -> float:
        """Validation of the best trial."""
        return float(self.results["best"]["value"])

    @property
    def best_settings(self) -> dict[str, Any]:
        """Settings of the best trial, nested: ``rb.train_retrieval(log, **tuning.best_settings)``."""
        from recsys_bert.stages.comparison.stage_trainer import nested

        return nested(self.results["best"]["values"])

    @property
    def best_run(self) -> Path:
        """Run folder of the best trial; its model is there."""
        return Path(self.results["best"]["folder"])

    def save(self, folder: Path | str) -> Path:
        """Write ``tune.json`` and ``tune.html``.

        Raises:
            InputError: ``folder`` cannot be written.
        """
        from recsys_bert.evaluation.report.tuning import page
        from recsys_bert.files import replacing, write_json

        folder = Path(folder)
        write_json(folder / "tune.json", self.results)
        with replacing(folder / "tune.html") as temporary:
            temporary.write_text(page(self.results), encoding="utf-8")
        return folder

    def __str__(self) -> str:
        """The terminal's tables."""
        from recsys_bert.evaluation.report.tuning import text

        return text(self.results)

    def _repr_html_(self) -> str:
        """The best trials for notebooks."""
        from recsys_bert.evaluation.report.tuning import summary

        return summary(self.results)


def tune(
    train: Callable[..., Any],
    *data: Any,
    space: Mapping[str, Any],
    out: Path | str | None = None,
    config: TuneConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> Tuning:
    """Search for the settings of a stage with the best validation; test data are hidden from it.

    Called again with the same folder it goes on, and several processes may call it on one folder at once.

    Args:
        train: A stage: ``pretrain``, ``train_retrieval``, ``functools.partial(train_ctr, dataset=log)`` or any function
            ``(*data, out=…, config=…) → model`` with the type of its config as annotation, which calls
            ``recsys_bert.training.loop.fit``.
        data: Its data.
        space: Setting → ``"log:1e-4:1e-2"``, ``"float:0:0.5"``, ``"int:1:4"``, ``"logint:16:256"``, with a step
            ``"int:16:128:16"``; or a list of choices; or one value that holds for all trials.
        out: Folder for the trials and the report; None takes a temporary one, which is removed with the result.
        config: All settings; or give them as keywords.
        allow_parts: Import parts from outside (``module:Class``) that init or teacher name; their code runs.
        settings: Fields of ``TuneConfig``.

    Raises:
        InputError: A space or settings that cannot be trained, before any training; optuna is missing; or every trial
            failed.
    """
    config = make_config(TuneConfig, config, settings)
    check_optuna()
    from recsys_bert.stages.tuning.space import space_of
    from recsys_bert.stages.tuning.trainer import stage_trials

    folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}tune-")) if out is None else Path(out)
    try:
        with allowing_parts(allow_parts):
            tuning = tune_trials(stage_trials(train, data), space_of(space), folder, config, report=out is not None)
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if out is None:
        weakref.finalize(tuning, shutil.rmtree, folder, ignore_errors=True)
    return tuning


def check_optuna() -> None:
    """Check that optuna is installed.

    Raises:
        InputError: It is not.
    """
    import importlib.util

    if importlib.util.find_spec("optuna") is None:
        raise InputError("tune needs optuna: pip install 'recsys-bert[tune]'.")


def tune_trials(
    trainer: "TrialTrainer", space: "Sequence[Dimension]", out: Path, config: TuneConfig, *, report: bool = True
) -> Tuning:
    """Train trials in ``out`` until the budget is used up, and write the report if asked for.

    Raises:
        InputError: See ``tune``.
    """
    from recsys_bert.stages.tuning.results import results_of
    from recsys_bert.stages.tuning.study import quiet_optuna
    from recsys_bert.stages.tuning.trials import run_trials

    dimensions = list(space)
    with contextlib.redirect_stdout(sys.stderr), quiet_optuna():  # stdout gets the results alone
        study, monitor = _open(trainer, dimensions, out, config)
        try:
            run_trials(study, trainer, monitor, config.hours)
        finally:
            results = results_of(study, trainer.title, monitor)
            if report and results["trials"]:
                with study.locked():
                    Tuning(results).save(out)
    if results["best"] is None:
        reasons = list(
            dict.fromkeys(f"trial {one['number']}: {one['why'] or one['state']}" for one in results["trials"])
        )
        raise InputError("no trial is complete:\n" + "\n".join(reasons or ["none was begun"]))
    return Tuning(results)


def _open(trainer: "TrialTrainer", space: "list[Dimension]", out: Path, config: TuneConfig) -> "tuple[Study, str]":
    """Check everything that can be checked before a training, and open the study."""
    from recsys_bert.stages.tuning.folder import begin_folder
    from recsys_bert.stages.tuning.study import Study
    from recsys_bert.stages.tuning.trainer import check_space, recipe_values
    from recsys_bert.training.hidden_test import without_test
    from recsys_bert.training.run_folder import only_checking

    check_space(trainer, space)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as nowhere, without_test(), only_checking():
        folder = Path(nowhere) / "recipe"
        recipe = trainer.configure({one.name: one.ends[0] for one in space if len(one.ends) == 1}, folder)
        trainer.train(recipe, folder)
    begin_folder(out, trainer, space, recipe.train.monitor)
    epochs = next((one for one in space if one.name == "train.epochs"), None)
    study = Study(
        out,
        space,
        config,
        higher_is_better=recipe.train.is_better(1.0, 0.0),
        epochs=recipe.train.epochs if epochs is None else max(epochs.ends),
        validate_every=recipe.train.validate_every,
    )
    if config.recipe_first:
        if (first := recipe_values(recipe, space)) is not None:
            study.begin_with(first)
        else:
            print("the recipe's own settings lie outside the space; they are not tried.", file=sys.stderr)
    return study, recipe.train.monitor
