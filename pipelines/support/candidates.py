"""What evaluate ranks: trained runs and baselines, all loaded and checked before any of them is asked."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.evaluation.evaluation_run import EvaluationRun
    from recsys_bert.retrieval.ranker import Ranker


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The questions that every candidate gets."""

    dataset: "ClickDataset"
    """The log."""
    queries: "Queries"
    """The users."""
    evaluation_run: "EvaluationRun"
    """The targets, and how lists are measured."""
    seen: "tuple[NDArray[np.int64], NDArray[np.int32]] | None"
    """``(query_index, row)`` pairs that are left out of every list; None leaves nothing out."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something that ranks the catalogue."""

    name: str
    """In the report."""
    kind: Literal["run", "baseline", "best_possible"]
    """What it is."""
    rank: "Callable[[dict[str, Any]], tuple[NDArray[np.int32], float | None]]"
    """Gives lists ``[n, K]`` and users a second; may add to the results that it is handed."""
    evaluation_run: "EvaluationRun | None" = None
    """Set where it answers for some of the users only; its figures are over them."""


def runs(folders: Sequence[Path], factories: Sequence[str], asked: Asked) -> list[Candidate]:
    """Load run folders.

    Args:
        folders: Of ``pretrain``, ``train-retrieval`` or ``score_fusion``.
        factories: Indexes that exact search is compared with.
        asked: The questions.

    Raises:
        InputError: No such run, another vocabulary, or an index type that FAISS does not know or that is too
            large for the catalogue.
    """
    from pipelines.support.index_comparison import check_factories
    from recsys_bert.retrieval.load import open_run

    names = [folder.name for folder in folders]
    found = []
    for folder in folders:
        name = folder.name if names.count(folder.name) == 1 else str(folder)
        ranker = open_run(folder, asked.dataset)
        rows, dim = ranker.shape
        check_factories(factories, dim, rows - ranker.first_item)
        found.append(Candidate(name=name, kind="run", rank=_run_lists(name, folder, ranker, factories, asked)))
    return found


def _run_lists(name: str, folder: Path, ranker: "Ranker", factories: Sequence[str], asked: Asked) -> Callable[..., Any]:
    def rank(results: dict[str, Any]) -> "tuple[NDArray[np.int32], float]":
        from pipelines.support.index_comparison import Searched, compare_indexes
        from pipelines.support.run_records import layer_weights, training_curve
        from recsys_bert.progress import step
        from recsys_bert.retrieval.ranker import search_vectors

        items, start = ranker.item_vectors(), time.perf_counter()
        users = ranker.user_vectors(asked.queries)
        encoded = time.perf_counter()
        with step(f"{name}: exact search"):
            lists = search_vectors(ranker, users, items, asked.queries, asked.evaluation_run.ks[-1], asked.seen)[0]
        seconds = time.perf_counter() - encoded
        if factories and not ranker.reranks:  # no index finds the items that gain
            searched = Searched(
                name=name,
                users=users,
                items=items,
                first_item=ranker.first_item,
                seen=asked.seen,
                exact=lists,
                seconds=seconds,
            )
            results["indexes"] += compare_indexes(searched, factories, asked.evaluation_run)
        results["training"] += [found for found in [training_curve(folder, name)] if found]
        results["fusion"] += [found for found in [layer_weights(ranker, asked.queries, name)] if found]
        return lists, len(asked.queries) / max(encoded - start + seconds, 1e-9)

    return rank


def baselines(names: Sequence[str], asked: Asked, notes: list[str]) -> list[Candidate]:
    """Fit baselines on the training events; one that the log has no column for is left out with a note.

    Raises:
        InputError: There is no such baseline.
    """
    from recsys_bert.encoder.parts import find
    from recsys_bert.progress import step
    from recsys_bert.retrieval.baselines import BASELINES

    kinds = {name: find("baseline", name, BASELINES) for name in names}
    found = []
    for name, kind in kinds.items():
        if name == "popular_recent" and not asked.dataset.has_times:
            notes.append("popular_recent is left out: the log has no times.")
            continue
        with step(f"fitting {name}"):
            fitted = kind().fit(asked.dataset)
        found.append(Candidate(name=name, kind="baseline", rank=_baseline_lists(fitted, asked)))
    return found


def _baseline_lists(fitted: Any, asked: Asked) -> Callable[..., Any]:
    def rank(results: dict[str, Any]) -> "tuple[NDArray[np.int32], float]":
        start = time.perf_counter()
        lists = fitted.rank(asked.queries, asked.evaluation_run.ks[-1], exclude_seen=asked.seen is not None)
        return lists, len(asked.queries) / max(time.perf_counter() - start, 1e-9)

    return rank
