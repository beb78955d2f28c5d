"""Offline evaluation: full ranking with models and baselines, metrics with intervals, paired tests, a report."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.evaluation.config import EvaluateConfig
from recsys_bert.stages.evaluation.results import Evaluation

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.evaluation.evaluator import Values
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.stages.evaluation.held_out import HeldOut, ModelUnderTest
    from recsys_bert.stages.evaluation.models_under_test import Extend, OpenedModel
    from recsys_bert.stages.evaluation.values import ValueFrames

BASELINES = ("popular", "popular_recent", "item_knn", "markov")
"""Baselines of an evaluation that names none."""


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
        open_models,
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
        opened = open_models(models, held_out, notes, extend)
    trained = trained_models(opened, config.indexes, held_out)
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
            results["by_target"].append(_of_kind(part, _rank_again(opened, fitted, part, config, results)))
        if newcomers is not None:
            results["new_users"] = _of_kind(newcomers, _rank_again(opened, fitted, newcomers, config, results))
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
    opened: "Sequence[OpenedModel]",
    fitted: "Sequence[Any]",
    held_out: "HeldOut",
    config: EvaluateConfig,
    results: dict[str, Any],
) -> dict[str, Any]:
    """Results of the same models on other targets, without indexes and pictures."""
    from recsys_bert.stages.evaluation.models_under_test import baseline_models, trained_models, with_distinct_names
    from recsys_bert.stages.evaluation.protocol import protocol

    own = _empty_results(config, held_out, protocol(held_out)) | {"notes": results["notes"]}
    tested = [*trained_models(opened, (), held_out), *baseline_models(fitted, held_out)]
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
