"""Models under test: run folders, rankers, baselines, and models of other origin that give vectors or lists."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError
from recsys_bert.progress import step
from recsys_bert.retrieval.baselines import BASELINES
from recsys_bert.retrieval.cold_config import ColdItemsConfig
from recsys_bert.retrieval.fusion_files import trained_runs
from recsys_bert.retrieval.live_catalogue import LiveCatalogue
from recsys_bert.retrieval.load import earlier_vocabulary, open_run
from recsys_bert.retrieval.new_users import rank_new_users
from recsys_bert.retrieval.ranker import Ranker, search_vectors
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.stages.evaluation.external import VectorRanker, external_lists, external_ranker
from recsys_bert.stages.evaluation.held_out import HeldOut, ModelUnderTest, Ranking
from recsys_bert.stages.evaluation.index_comparison import Searched, check_factories, compare_indexes
from recsys_bert.stages.evaluation.run_records import layer_weights, training_curve
from recsys_bert.user_encoder.trained_on import overlap

if TYPE_CHECKING:
    from recsys_bert.item_texts.item_vectors import ItemVectors


Extend = Callable[[Ranker, list[str]], Ranker]
"""From a ranker to one with vectors of cold items; takes the notes, too."""


@dataclass(frozen=True)
class OpenedModel:
    """A trained model, at hand for every kind of target.

    Args:
        name: Of the model under test.
        folder: Its run folder; None without one.
        ranker: Its vectors; None for a model that gives lists.
        lists: A model of other origin that gives lists.
    """

    name: str
    folder: Path | None
    ranker: Ranker | None
    lists: Any = None


def open_models(models: Any, held_out: HeldOut, notes: list[str], extend: Extend | None = None) -> list[OpenedModel]:
    """Load or wrap every model.

    Args:
        models: One model, a list, or a dict by name; see ``evaluate``.
        held_out: Users and targets, of any kind.
        notes: Gets a line for each run that is older than some of the items.
        extend: Gives the cold items vectors; None leaves them as the models have them.

    Raises:
        InputError: No such run, another vocabulary, or vectors that do not fit the log.
    """
    return [_opened(name, model, held_out, notes, extend) for name, model in named_models(models).items()]


def trained_models(opened: Sequence[OpenedModel], factories: Sequence[str], held_out: HeldOut) -> list[ModelUnderTest]:
    """Trained models as models under test.

    Args:
        opened: The models.
        factories: Indexes that exact search is compared with.
        held_out: Users and targets.

    Raises:
        InputError: Lists that do not fit the log, or an index type that FAISS does not know or that is too large for
            the catalogue.
    """
    return [_model_under_test(model, factories, held_out) for model in opened]


def named_models(models: Any) -> dict[str, Any]:
    """Name every model: by its key, its run folder, its attribute ``name``, or its number."""
    if isinstance(models, Mapping):
        return {str(name): model for name, model in models.items()}
    listed = list(models) if isinstance(models, list | tuple) and not _is_vector_pair(models) else [models]
    names = [_name(model, number) for number, model in enumerate(listed, 1)]
    twice = {name for name in names if names.count(name) > 1}
    return {
        (str(model) if isinstance(model, str | Path) else f"{name} {number}") if name in twice else name: model
        for number, (name, model) in enumerate(zip(names, listed, strict=True), 1)
    }


def _is_vector_pair(models: Any) -> bool:
    return len(models) == 2 and all(isinstance(one, np.ndarray) and one.ndim == 2 for one in models)


def _name(model: Any, number: int) -> str:
    if isinstance(model, str | Path):
        return (Path(model) if Path(model).name not in ("", "..") else Path(model).resolve()).name
    return str(getattr(_ranker(model), "name", None) or f"model {number}")


def _ranker(model: Any) -> Any:
    """The ranker that a ``Recommender`` holds, without items that are not the log's, or the model itself."""
    return model.catalogue.log_ranker if isinstance(model, Recommender) else model


def _of_this_log(name: str, model: Any, dataset: ClickDataset) -> Any:
    """A ``Recommender`` over another log as its run folder, which is opened for this one; others as they are."""
    log, run = getattr(model, "dataset", None), getattr(model, "run", None)
    if not isinstance(log, ClickDataset) or log.fingerprint == dataset.fingerprint:
        return model
    if run is None:
        raise InputError(f"{name} was made for {log.folder}, not for {dataset.folder}, and has no run folder to open.")
    return run


def _opened(name: str, model: Any, held_out: HeldOut, notes: list[str], extend: Extend | None) -> OpenedModel:
    model = _of_this_log(name, model, held_out.dataset)
    if isinstance(model, str | Path):
        folder: Path | None = Path(model)
        ranker: Ranker | None = open_run(Path(model), held_out.dataset)
        notes += [note] if ranker and (note := earlier_vocabulary(Path(model), ranker, held_out.dataset)) else []
    else:
        folder = getattr(model, "run", None)
        ranker = external_ranker(name, _ranker(model), held_out.dataset)
    if ranker is None:
        return OpenedModel(name, folder, None, model)
    runs = [] if folder is None else trained_runs(folder)
    notes += [note for run in runs if (note := overlap(run, held_out.dataset, held_out.split))]
    return OpenedModel(name, folder, ranker if extend is None else extend(ranker, notes))


def _model_under_test(model: OpenedModel, factories: Sequence[str], held_out: HeldOut) -> ModelUnderTest:
    if model.ranker is None:
        return ModelUnderTest(name=model.name, kind="run", rank=external_lists(model.name, model.lists, held_out))
    rows, dim = model.ranker.shape
    check_factories(factories, dim, rows - model.ranker.first_item)
    rank = _vector_lists(model.name, model.folder, model.ranker, factories, held_out)
    return ModelUnderTest(name=model.name, kind="run", rank=rank)


def _vector_lists(
    name: str, folder: Path | None, ranker: Ranker, factories: Sequence[str], held_out: HeldOut
) -> Callable[[dict[str, Any]], Ranking]:
    """Exact search over the ranker's vectors; compares it with the indexes."""

    def rank(results: dict[str, Any]) -> Ranking:
        if held_out.kind == "new users" and not isinstance(ranker, VectorRanker):
            new, depth = held_out.queries.users, held_out.depth
            lists, sources = rank_new_users(ranker, held_out.dataset, new, depth, held_out.split)
            by_source = ", ".join(f"{n:,} by {source}" for source, n in sources.items() if n)
            results["notes"].append(f"{name}: users without a history are ranked {by_source}.")
            return lists, None
        items, start = ranker.item_vectors(), time.perf_counter()
        users = ranker.user_vectors(held_out.queries)
        encoded = time.perf_counter()
        with step(f"{name}: exact search"):
            depth = min(held_out.depth, len(items) - ranker.first_item)  # an older run ranks fewer items
            rows = search_vectors(ranker, users, items, held_out.queries, depth, held_out.seen)[0]
            rows = np.pad(rows, ((0, 0), (0, held_out.depth - depth)), constant_values=-1)
        seconds = time.perf_counter() - encoded
        if factories and not ranker.reranks:  # no index finds the items that gain
            searched = Searched(
                name=name,
                users=users,
                items=items,
                first_item=ranker.first_item,
                seen=held_out.seen,
                exact=rows,
                seconds=seconds,
            )
            results["indexes"] += compare_indexes(searched, factories, held_out.evaluator)
        if folder is not None and (curve := training_curve(folder, name)):
            results["training"].append(curve)
        if weights := layer_weights(ranker, held_out.queries, name):
            results["fusion"].append(weights)
        return rows, len(held_out.queries) / max(encoded - start + seconds, 1e-9)

    return rank


def by_nearest_texts(dataset: ClickDataset, texts: "ItemVectors | None", config: ColdItemsConfig) -> Extend:
    """Give a log's cold items the vectors of their text neighbours, in any ranker.

    Args:
        dataset: The log.
        texts: Text vectors of its items; a fusion with text has its own.
        config: The settings.
    """

    def extend(ranker: Ranker, notes: list[str]) -> Ranker:
        catalogue = LiveCatalogue(ranker, dataset, None)
        catalogue = catalogue.with_texts(texts) if texts is not None and catalogue.texts is None else catalogue
        rows, n_without = catalogue.put_cold(config)
        notes.append(
            f"{ranker.name}: {len(rows):,} items have vectors by {config.neighbours} neighbours by text, "
            f"{n_without:,} cold ones without a neighbour the mean of all."
        )
        return catalogue.ranker

    return extend


def fit_baselines(baselines: Sequence[Any], dataset: ClickDataset, weights: bool, notes: list[str]) -> list[Any]:
    """Fit baselines on the training events; one that the log has no column for is left out with a note.

    Args:
        baselines: Names in ``BASELINES``, ``"module:Class"``, or objects with ``fit`` and ``rank``.
        dataset: The log.
        weights: Count events by their weights; False: every event counts 1.
        notes: Gets a line for each that is left out.

    Raises:
        InputError: Unknown name, or weights that the log has not.
    """
    if not weights:
        if not dataset.manifest.weights_differ:
            raise InputError("baseline_weights is off, but all events of the log weigh the same: it has no effect.")
        dataset = replace(dataset, histories=replace(dataset.histories, weights=None))
    fitted = []
    fresh = [find("baseline", one, BASELINES)() if isinstance(one, str) else one for one in baselines]
    for baseline in fresh:
        if getattr(baseline, "needs_times", False) and not dataset.has_times:
            notes.append(f"{baseline.name} is left out: the log has no times.")
            continue
        if getattr(baseline, "needs_texts", False) and not dataset.manifest.texts:
            notes.append(f"{baseline.name} is left out: the log has no words of items.")
            continue
        with step(f"fitting {baseline.name}"):
            fitted.append(baseline.fit(dataset))
    return fitted


def baseline_models(fitted: Sequence[Any], held_out: HeldOut) -> list[ModelUnderTest]:
    """Fitted baselines as models under test."""
    return [
        ModelUnderTest(name=baseline.name, kind="baseline", rank=_baseline_lists(baseline, held_out))
        for baseline in fitted
    ]


def _baseline_lists(fitted: Any, held_out: HeldOut) -> Callable[[dict[str, Any]], Ranking]:
    def rank(results: dict[str, Any]) -> Ranking:
        start = time.perf_counter()
        lists = fitted.rank(held_out.queries, held_out.depth, exclude_seen=held_out.seen is not None)
        return lists, len(held_out.queries) / max(time.perf_counter() - start, 1e-9)

    return rank


def with_distinct_names(models: Sequence[ModelUnderTest]) -> list[ModelUnderTest]:
    """Mark baselines that are called like a run."""
    runs = {model.name for model in models if model.kind == "run"}
    return [
        replace(model, name=f"{model.name} (no run)") if model.kind != "run" and model.name in runs else model
        for model in models
    ]
