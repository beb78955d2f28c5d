"""Compare settings: train every configuration of a grid with several seeds, and test them against the first one."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.full_disk import DiskFull
from recsys_bert.locks import only_writer
from recsys_bert.settings import make_config
from recsys_bert.training.run_folder import TEMPORARY

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.stages.comparison.grid import Axis
    from recsys_bert.stages.comparison.runs import Trainer, TrainingRun

_LEVEL = 0.95  # coverage of the intervals


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Settings of a comparison."""

    skip: tuple[str, ...] = ()
    """Combinations to leave out, as in 'encoder.neck=none encoder.residual=concat,none': those that have one of the
    values of each setting."""

    seeds: int = 3
    """Trainings of each configuration, with train.seed 0, 1, 2, …"""

    target_share: float = 0.99
    """Convergence is timed to this share of the first configuration's best validation metric."""

    correction: Literal["holm", "bonferroni", "none"] = "holm"
    """Correction of the p-values for all configurations together."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"seeds is {self.seeds}; each configuration is trained at least once.")
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise InputError("compare trains one run after the other in one process; start it without torchrun.")
        if not 0 < self.target_share <= 1:
            raise InputError(f"target_share is {self.target_share}; it must lie in (0, 1], as 0.99 does.")


@dataclass(repr=False)
class Comparison:
    """Results of a comparison.

    Args:
        results: Everything that ``compare.json`` holds, as plain values.
    """

    results: dict[str, Any]

    @property
    def table(self) -> "pl.DataFrame":
        """One row a configuration: settings, every test metric with ``…_std`` over seeds, and its paired test.

        ``difference`` to the first configuration comes with ``low``, ``high``, ``p_value`` and ``p_corrected``.
        """
        import polars as pl

        tests = {test["configuration"]: test for test in self.results["comparisons"]}
        rows = []
        for one in self.results["configurations"]:
            row = {"configuration": one["name"], "seeds": len(one["seeds"]), "parameters": one["parameters"]}
            for name, entry in one["metrics"].items():
                row |= {name: entry["mean"], f"{name}_std": entry["std"]}
            row["seconds"] = one["seconds"]["mean"]
            for name in ("difference", "low", "high", "p_value", "p_corrected"):
                row[name] = tests.get(one["name"], {}).get(name)
            rows.append(row)
        return pl.DataFrame(rows, infer_schema_length=None)

    def save(self, folder: Path | str) -> Path:
        """Write ``compare.json``, ``compare.html`` and, with matplotlib, ``compare.png``.

        Raises:
            InputError: ``folder`` cannot be written.
        """
        from recsys_bert.evaluation.report.comparison import page
        from recsys_bert.evaluation.report.comparison_pictures import picture
        from recsys_bert.evaluation.report.pictures import available
        from recsys_bert.files import replacing, write_json

        folder = Path(folder)
        write_json(folder / "compare.json", self.results)
        with replacing(folder / "compare.html") as temporary:
            temporary.write_text(page(self.results), encoding="utf-8")
        if available():
            with replacing(folder / "compare.png") as temporary:
                temporary.write_bytes(picture(self.results))
        return folder

    def __str__(self) -> str:
        """The terminal's tables."""
        from recsys_bert.evaluation.report.comparison import text

        return text(self.results)

    def _repr_html_(self) -> str:
        """The test metrics for notebooks."""
        from recsys_bert.evaluation.report.comparison import summary

        return summary(self.results)


def compare(
    train: Callable[..., Any],
    *data: Any,
    grid: Mapping[str, Any],
    evaluate: Callable[[Any], Mapping[str, Any]] | None = None,
    out: Path | str | None = None,
    config: CompareConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> Comparison:
    """Train a stage with every configuration of a grid and several seeds, and compare them on the test.

    Called again with the same folder it resumes: it takes finished runs and tries failed ones again.

    Args:
        train: A stage: ``pretrain``, ``train_retrieval``, ``fuse`` or any function ``(*data, out=…, config=…) → model``
            with the type of its config as annotation.
        data: Its data, a prepared log among them where ``evaluate`` is None; for ``fuse`` the runs, then the log.
        grid: Setting → list of values, ``{"encoder.fusion": ["last", "scalar_mix"], "train.epochs": 5}``; one value
            holds for all configurations.
        evaluate: Model → metric → one value a test example, higher is better; None ranks the catalogue for the users
            with a test event: NDCG@10 and recall@10.
        out: Folder for the runs and the report; None takes a temporary one, which is removed with the result.
        config: All settings; or give them as keywords.
        allow_parts: Import parts from outside (``module:Class``) that init or teacher name; their code runs.
        settings: Fields of ``CompareConfig``.

    Raises:
        InputError: A grid or a configuration that cannot be trained, before any training; or every run failed.
    """
    from recsys_bert.stages.comparison.grid import grid_axes
    from recsys_bert.stages.comparison.stage_trainer import stage_trainer

    config = make_config(CompareConfig, config, settings)
    folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}compare-")) if out is None else Path(out)
    try:
        with allowing_parts(allow_parts):
            comparison = compare_runs(stage_trainer(train, data, evaluate), grid_axes(grid), folder, config)
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if out is None:
        weakref.finalize(comparison, shutil.rmtree, folder, ignore_errors=True)
    else:
        comparison.save(folder)
    return comparison


def compare_runs(trainer: "Trainer", axes: "Sequence[Axis]", out: Path, config: CompareConfig) -> Comparison:
    """Train and evaluate what is missing in ``out``; a run that fails is reported and does not stop the others.

    Raises:
        InputError: See ``compare``.
    """
    from recsys_bert.stages.comparison.grid import configurations
    from recsys_bert.stages.comparison.runs import check_runs, make_runs
    from recsys_bert.training.run_folder import check_writable

    runs = make_runs(trainer, configurations(axes, config.skip), config.seeds, out)
    with only_writer(out), contextlib.redirect_stdout(sys.stderr):  # stdout gets the results alone
        check_runs(runs, trainer)
        check_writable(out)
        failed = _train_missing(runs, trainer)
    return Comparison(_results(config, trainer.title, runs, failed))


def _train_missing(runs: "Sequence[TrainingRun]", trainer: "Trainer") -> dict[str, str]:
    """Train and evaluate what is not finished.

    Returns:
        Why a run failed, by its name.
    """
    from recsys_bert.stages.comparison.runs import train_run

    missing, failed, start = [run for run in runs if not run.is_finished], dict[str, str](), time.monotonic()
    if len(missing) < len(runs):
        print(f"{len(runs) - len(missing)} of {len(runs)} runs are there already", file=sys.stderr)
    for done, run in enumerate(missing):
        left = (time.monotonic() - start) / done * (len(missing) - done) if done else None
        message = f"run {done + 1} of {len(missing)}: {run}" + (f" (about {left / 60:.0f} min left)" if left else "")
        print(message, file=sys.stderr, flush=True)
        try:
            train_run(run, runs, trainer)
        except KeyboardInterrupt:
            print("finished runs stay; the same command resumes here.", file=sys.stderr)
            raise
        except DiskFull:
            raise
        except InputError as error:
            failed[str(run)] = str(error)
        except Exception as error:  # whatever it is, hours of other runs are not to be lost for it
            traceback.print_exc()
            failed[str(run)] = f"{type(error).__name__}: {error}"
        if str(run) in failed:
            print(f"failed: {failed[str(run)]}", file=sys.stderr)
    if len(failed) == len(runs):
        raise InputError("every run failed:\n" + "\n".join(f"{name}: {why}" for name, why in failed.items()))
    return failed


def _results(
    config: CompareConfig, title: str, runs: "Sequence[TrainingRun]", failed: dict[str, str]
) -> dict[str, Any]:
    """Contents of ``compare.json``, as plain values."""
    from recsys_bert.evaluation.comparison import against_first, describe, target_of
    from recsys_bert.stages.comparison.runs import finished_run, monitor_of
    from recsys_bert.stages.evaluation.index_comparison import machine
    from recsys_bert.version import __version__

    monitor = monitor_of(runs[0].config)
    finished: dict[str, list[Any]] = {run.configuration.name: [] for run in runs}
    for run in runs:
        if run.is_finished:
            values, metric = finished_run(run, monitor)
            finished[run.configuration.name].append(values)
    target = target_of(next(iter(finished.values())), config.target_share)
    results = {
        "title": title,
        "version": __version__,
        "machine": machine(),
        "level": _LEVEL,
        "metric": metric,
        "monitor": monitor,
        "examples": max(len(one.examples) for group in finished.values() for one in group),
        "seeds": config.seeds,
        "correction": config.correction,
        "target": target,
        "target_share": config.target_share,
        "configurations": [
            {
                "name": run.configuration.name,
                "values": run.configuration.values,
                "folder": str(run.out.parent),
                "seeds": [one.seed for one in finished[run.configuration.name]],
                "runs": [_without_examples(one) for one in finished[run.configuration.name]],
                **describe(finished[run.configuration.name], target),
            }
            for run in runs
            if run.seed == 0
        ],
        "comparisons": against_first(finished, level=_LEVEL, correction=config.correction),
        "failed": [{"run": name, "why": why} for name, why in failed.items()],
        "config": asdict(config),
    }
    plain: dict[str, Any] = json.loads(json.dumps(results, default=str))
    return plain


def _without_examples(run: Any) -> dict[str, Any]:
    """A run without its examples, which are in its folder."""
    return {name: value for name, value in asdict(run).items() if name != "examples"}
