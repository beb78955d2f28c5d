"""Offline evaluation: full ranking with models and baselines, metrics with intervals, paired tests, a report."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.evaluation.config import EvaluateConfig

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.evaluation.evaluator import Values
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.stages.evaluation.held_out import HeldOut, ModelUnderTest
    from recsys_bert.stages.evaluation.models_under_test import Extend
    from recsys_bert.stages.evaluation.values import ValueFrames

BASELINES = ("popular", "popular_recent", "item_knn", "markov")
"""Baselines of an evaluation that names none."""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Results of an evaluation.

    Args:
        results: Everything that ``report.json`` holds, as plain values.
        values: Metrics of every user and item, on the first kind of target.
    """

    results: dict[str, Any]
    values: "ValueFrames"

    @property
    def users(self) -> "pl.DataFrame":
        """One row a model and user: ``user_id``, ``events_before``, ``targets``, every metric at every k."""
        return self.values.users

    @property
    def items(self) -> "pl.DataFrame":
        """One row a model and item with a target or a recommendation: counts, and recall at the headline k."""
        return self.values.items

    @property
    def table(self) -> "pl.DataFrame":
        """One row a model: ``model``, ``kind``, metrics at the headline k, significance, then all the others.

        ``better_than`` and ``worse_than`` list the models from which NDCG at the headline k differs significantly: at
        5 %, paired over users, corrected for all comparisons made. ``…_low`` and ``…_high`` end each metric's interval.
        """
        import polars as pl

        from recsys_bert.evaluation.report.verdict import significant_pairs

        pairs, rows = significant_pairs(self.results), []
        for model in self.results["models"]:
            name, metrics = model["name"], model["metrics"]
            row: dict[str, Any] = {"model": name, "kind": model["kind"]}
            row["better_than"] = [worse for better, worse in pairs if better == name]
            row["worse_than"] = [better for better, worse in pairs if worse == name]
            row |= {metric: value["value"] for metric, value in metrics.items()}
            row |= {f"{metric}_{end}": value[end] for metric, value in metrics.items() for end in ("low", "high")}
            rows.append(row)
        words = {"model": pl.String, "kind": pl.String}
        lists = {"better_than": pl.List(pl.String), "worse_than": pl.List(pl.String)}
        numbers = {name: pl.Float64 for row in rows for name in row if name not in {*words, *lists}}
        headline = [name for name in numbers if name.endswith(f"@{self.results['headline_k']}")]
        table = pl.DataFrame(rows, schema={**words, **lists, **numbers})
        return table.select([*words, *headline, *lists, *(name for name in numbers if name not in headline)])

    @property
    def by_target(self) -> "pl.DataFrame":
        """One row a kind of target and model: ``targets``, ``model``, ``kind``, ``users``, ``predictions``, metrics.

        Kinds are those of the setting ``targets``, and ``new users``, whose first event is held out, if there are any.
        """
        import polars as pl

        rows = [
            {
                "targets": part["targets"],
                "model": model["name"],
                "kind": model["kind"],
                "users": part["protocol"]["users"],
                "predictions": part["protocol"]["predictions"],
                **{metric: value["value"] for metric, value in model["metrics"].items()},
            }
            for part in self._parts()
            for model in part["models"]
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def by_training_events(self) -> "pl.DataFrame":
        """One row a kind of target, model and group of targets by training events: 0, 1-4, 5-19, 20+.

        ``targets``, ``model``, ``kind``, ``group``, ``predictions`` with a target in the group, ``n_targets``, recall
        and NDCG at the headline k. Each target counts by itself; see ``evaluation.breakdowns.by_training_events``.
        """
        import polars as pl

        rows = [
            {"targets": part["targets"], "model": model["name"], "kind": model["kind"]}
            | {"n_targets" if name == "targets" else name: value for name, value in line.items()}
            for part in self._parts()
            for model in part["models"]
            for line in model["by_training_events"]
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    def _parts(self) -> list[dict[str, Any]]:
        """Results by kind of target, new users last."""
        several = self.results["by_target"] or [{"targets": self.results["config"]["targets"][0], **self.results}]
        return [*several, *([self.results["new_users"]] if self.results.get("new_users") else [])]

    @property
    def comparisons(self) -> "pl.DataFrame":
        """One row a paired test: ``model``, ``against``, ``metric``, ``difference``, ``low``, ``high``, p-values."""
        import polars as pl

        return pl.DataFrame(self.results["comparisons"])

    def save(self, folder: Path | str) -> Path:
        """Write ``report.html``, ``report.json``, ``users.parquet`` and ``items.parquet``, replacing earlier ones.

        Raises:
            InputError: ``folder`` cannot be written.
        """
        from recsys_bert.evaluation.report.page import page
        from recsys_bert.files import replacing, write_json

        folder = Path(folder)
        with replacing(folder / "report.html") as temporary:
            temporary.write_text(page(self.results), encoding="utf-8")
        write_json(folder / "report.json", self.results)
        self.values.save(folder)
        return folder

    def __str__(self) -> str:
        """The terminal's tables."""
        from recsys_bert.evaluation.report.text import text

        return text(self.results)

    def _repr_html_(self) -> str:
        """The headline table for notebooks."""
        from recsys_bert.evaluation.report.page import summary

        return summary(self.results)


def evaluate(
    models: Any,
    dataset: "ClickDataset",
    *,
    baselines: Sequence[Any] = BASELINES,
    truth: Path | str | None = None,
    item_vectors: "ItemVectors | Path | str | None" = None,
    out: Path | str | None = None,
    config: EvaluateConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> Evaluation:
    """Rank the full catalogue for every user with held-out events, and compare the models.

    Args:
        models: One model, a list of models, or a dict from names to models; the first is what the others are compared
            with. A model is a run folder, what a training returned, any ranker, or one of other origin: an object with
            ``user_vectors(queries)`` and ``item_vectors()`` (items in the order of ``dataset.items``), a pair of arrays
            (users in the order of ``dataset.users``, then items), a frame of lists with ``user_id``, ``item_id`` and
            ``rank``, or a function ``(user_ids, k) → frame``. Folders of CTR and text runs add their metrics.
        dataset: The prepared log.
        baselines: Names, ``"module:Class"``, or objects like those in ``recsys_bert.retrieval.baselines``.
        truth: The simulator's truth.parquet; adds the best possible recommender.
        item_vectors: Text vectors of the log's items, or what ``item-vectors`` wrote; for ``cold_items``.
        out: Folder for report.html, report.json, users.parquet and items.parquet; None writes nothing.
        config: All settings; or give them as keywords.
        allow_parts: Import parts from outside (``module:Class``) that the runs name; their code runs.
        settings: Fields of ``EvaluateConfig``.

    Raises:
        InputError: Nothing to evaluate, a model of another vocabulary, an unknown baseline or index, a folder that
            cannot be written; all of them before anything is ranked.
    """
    from recsys_bert.encoder.parts import allowing_parts
    from recsys_bert.stages.evaluation.best_possible import best_possible
    from recsys_bert.stages.evaluation.held_out import held_out_events, new_users
    from recsys_bert.stages.evaluation.models_under_test import (
        baseline_models,
        fit_baselines,
        named_models,
        trained_models,
        with_distinct_names,
    )
    from recsys_bert.stages.evaluation.protocol import protocol, warn_of_seen
    from recsys_bert.stages.evaluation.run_records import split_other_runs
    from recsys_bert.stages.evaluation.values import ValueFrames

    config = make_config(EvaluateConfig, config, settings)
    models, other_runs = split_other_runs(named_models(() if models is None else models))
    if not models and not other_runs and not baselines:
        raise InputError("there is nothing to evaluate: give models or baselines.")
    notes: list[str] = []
    extend = _cold_items(config, dataset, item_vectors)
    held_out = held_out_events(config, dataset, config.targets[0], notes)
    results = _empty_results(config, held_out, protocol(held_out)) | {"notes": notes, "runs": other_runs}
    with allowing_parts(allow_parts):
        trained = trained_models(models, config.indexes, held_out, notes, extend)
    fitted = fit_baselines(baselines, dataset, config.baseline_weights, notes)
    tested = [*trained, *baseline_models(fitted, held_out)]
    if truth is not None:
        tested.append(best_possible(Path(truth), config.split, held_out))
    with _writing(out), allowing_parts(allow_parts):
        warn_of_seen(results["protocol"])
        values = ValueFrames(held_out)
        _rank(with_distinct_names(tested), held_out, results, values)
        results["by_target"] = [_of_kind(held_out, results)] if len(config.targets) > 1 else []
        others, newcomers = config.targets[1:], new_users(config, dataset)
        for part in [held_out_events(config, dataset, kind) for kind in others]:
            results["by_target"].append(_of_kind(part, _rank_again(models, fitted, part, config, results, extend)))
        if newcomers is not None:
            results["new_users"] = _of_kind(newcomers, _rank_again(models, fitted, newcomers, config, results, extend))
        evaluation = Evaluation(results, values)
        if out is not None:
            evaluation.save(out)
    return evaluation


def _cold_items(config: EvaluateConfig, dataset: "ClickDataset", item_vectors: Any) -> "Extend | None":
    """Vectors of cold items for every run, where the settings say so.

    Raises:
        InputError: Text vectors are missing, or have no effect.
    """
    from recsys_bert.stages.evaluation.models_under_test import by_nearest_texts

    if config.cold_items == "none":
        if item_vectors is not None:
            raise InputError("item_vectors have no effect without cold_items = 'nearest-text' (--cold-items).")
        return None
    if isinstance(item_vectors, str | Path):
        from recsys_bert.item_texts.vector_files import load_item_vectors

        item_vectors = load_item_vectors(item_vectors, dataset)
    return by_nearest_texts(dataset, item_vectors, config.cold)


@contextlib.contextmanager
def _writing(out: Path | str | None) -> Iterator[None]:
    """Lock the folder of a report, and check that it can be written; nothing without one.

    Raises:
        InputError: It cannot, or another process writes it; in the block, the disk is full.
    """
    from recsys_bert.full_disk import explaining_full_disk
    from recsys_bert.locks import only_writer
    from recsys_bert.training.run_folder import check_writable

    if out is None:
        yield
        return
    with only_writer(Path(out)), explaining_full_disk(Path(out)):
        check_writable(Path(out))
        yield


def _rank(
    models: "Sequence[ModelUnderTest]",
    held_out: "HeldOut",
    results: dict[str, Any],
    frames: "ValueFrames | None" = None,
) -> None:
    """Rank with every model, compute its metrics, and compare the models."""
    from recsys_bert.progress import step

    evaluator = held_out.evaluator
    values: dict[str, Values] = {}
    for model in models:
        ranked, speed = model.rank(results)
        with step(f"{model.name}: metrics and intervals"):
            metrics, values[model.name] = (model.evaluator or evaluator).evaluate(ranked)
        if frames is not None:
            frames.add(model.name, ranked, values[model.name])
        if model.evaluator is not None:  # other users, so other groups
            metrics |= {"by_history": [], "by_popularity": [], "by_training_events": []}
        results["models"].append({"name": model.name, "kind": model.kind, "users_per_second": speed, **metrics})
    results["comparisons"] = evaluator.compare(values, _pairs(results["models"], evaluator.headline_k))


def _rank_again(
    models: dict[str, Any],
    fitted: "Sequence[Any]",
    held_out: "HeldOut",
    config: EvaluateConfig,
    results: dict[str, Any],
    extend: "Extend | None",
) -> dict[str, Any]:
    """Results of the same models on other targets, without indexes and pictures."""
    from recsys_bert.stages.evaluation.models_under_test import baseline_models, trained_models, with_distinct_names
    from recsys_bert.stages.evaluation.protocol import protocol

    own = _empty_results(config, held_out, protocol(held_out)) | {"notes": results["notes"]}
    tested = [*trained_models(models, (), held_out, [], extend), *baseline_models(fitted, held_out)]
    _rank(with_distinct_names(tested), held_out, own)
    return own


def _of_kind(held_out: "HeldOut", results: dict[str, Any]) -> dict[str, Any]:
    """Metrics of all models on one kind of target."""
    names = ("name", "kind", "metrics", "source", "by_training_events")
    return {
        "targets": held_out.kind,
        "protocol": results["protocol"],
        "skipped": results["skipped"],
        "models": [{name: model[name] for name in names if name in model} for model in results["models"]],
        "comparisons": results["comparisons"],
    }


def _empty_results(config: EvaluateConfig, held_out: "HeldOut", protocol: dict[str, Any]) -> dict[str, Any]:
    """The results before anything is ranked."""
    from recsys_bert.stages.evaluation.index_comparison import machine

    evaluator = held_out.evaluator
    return {
        "data": held_out.dataset.folder.name,
        "level": config.level,
        "correction": config.correction,
        "machine": machine(),
        "protocol": protocol,
        "skipped": {reason: count for reason, count in held_out.queries.skipped.items() if count},
        "ks": list(evaluator.ks),
        "headline_k": evaluator.headline_k,
        "index_k": held_out.depth,
        **{name: [] for name in ("models", "comparisons", "indexes", "training", "fusion")},
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }


def _pairs(models: list[dict[str, Any]], k: int) -> list[tuple[str, str]]:
    """Every run against the first one, and against the best baseline."""
    runs = [model["name"] for model in models if model["kind"] == "run"]
    baselines = [model for model in models if model["kind"] == "baseline"]
    pairs = [(name, runs[0]) for name in runs[1:]]
    if baselines:
        best = max(baselines, key=lambda model: model["metrics"][f"ndcg@{k}"]["value"])["name"]
        pairs += [(name, best) for name in runs]
    return pairs
