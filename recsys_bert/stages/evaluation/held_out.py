"""Held-out events, and a model that ranks the catalogue for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries, TargetKind
from recsys_bert.errors import InputError
from recsys_bert.evaluation.evaluator import Evaluator
from recsys_bert.retrieval.exact import Seen
from recsys_bert.stages.evaluation.config import EvaluateConfig

Ranking = tuple[NDArray[np.int32], float | None]
"""Lists ``[n, K]`` of item rows, -1 after the last, and users a second; None where nothing was timed."""
Split = Literal["validation", "test"]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out events that all models are evaluated on."""

    dataset: ClickDataset
    """The log."""
    queries: Queries
    """The users' histories and targets."""
    evaluator: Evaluator
    """Metrics of lists against the targets."""
    seen: Seen | None
    """``(query_index, row)`` pairs that are left out of every list; None leaves nothing out."""
    split: Split = "test"
    """Part of the log that they are from."""
    kind: TargetKind | Literal["new users"] = "all"
    """Kind of target; new users have no history."""
    target_types: tuple[str, ...] = ()
    """Event types that are targets; empty: all."""

    @property
    def depth(self) -> int:
        """Length of the lists: the largest k."""
        return self.evaluator.ks[-1]


@dataclass(frozen=True, kw_only=True)
class ModelUnderTest:
    """A model that ranks the catalogue."""

    name: str
    """In the report."""
    kind: Literal["run", "baseline", "best_possible"]
    """Trained model, baseline, or the simulator's oracle."""
    rank: Callable[[dict[str, Any]], Ranking]
    """Rank for the held-out users; may add to the results that it is handed."""
    evaluator: Evaluator | None = None
    """Set where the model covers some of the users only; its metrics are over them."""


def held_out_events(
    config: EvaluateConfig, dataset: ClickDataset, kind: TargetKind, notes: list[str] | None = None
) -> HeldOut:
    """Users that take part and one kind of target; the other users are counted by reason.

    Args:
        config: The evaluation's settings.
        dataset: The log.
        kind: Kind of target.
        notes: Gets a line where list lengths are cut to the catalogue.

    Raises:
        InputError: There are no targets.
    """
    queries = Queries.of(dataset, config.split, targets=kind, target_types=config.target_types)
    if not len(queries):
        raise InputError(
            f"{dataset.folder} holds out no {config.split} events, so there are no targets ({queries.skipped})."
            " Prepare the log with another split, or choose another --split."
        )
    users = np.unique(queries.users)
    if 0 < config.users < len(users):
        sample = np.random.default_rng(config.seed).choice(len(users), config.users, replace=False)
        part = queries[np.isin(queries.users, users[sample])]
        skipped = {**queries.skipped, "not drawn (--users)": len(users) - config.users}
        queries = replace(part, skipped=skipped)
    return _held_out(config, dataset, queries, kind, notes)


def new_users(config: EvaluateConfig, dataset: ClickDataset) -> HeldOut | None:
    """Users whose first event is held out, with all their held-out events as targets; None without any."""
    queries = Queries.of_new_users(dataset, config.split, target_types=config.target_types)
    return _held_out(config, dataset, queries, "new users", None) if len(queries) else None


def _held_out(
    config: EvaluateConfig,
    dataset: ClickDataset,
    queries: Queries,
    kind: TargetKind | Literal["new users"],
    notes: list[str] | None,
) -> HeldOut:
    return HeldOut(
        dataset=dataset,
        queries=queries,
        evaluator=_evaluator(config, dataset, queries, notes),
        seen=None if config.seen else queries.seen(),
        split=config.split,
        kind=kind,
        target_types=config.target_types,
    )


def _evaluator(config: EvaluateConfig, dataset: ClickDataset, queries: Queries, notes: list[str] | None) -> Evaluator:
    """The metrics of these users, and a note where list lengths are cut to the catalogue."""
    vocabulary = dataset.vocabulary
    ks = tuple(sorted({min(k, vocabulary.n_items) for k in config.ks}))
    cut = sorted({k for k in config.ks if k > vocabulary.n_items})
    if cut and notes is not None:
        notes.append(f"k = {', '.join(map(str, cut))} cut to the catalogue's {vocabulary.n_items} items.")
    counts = np.zeros(dataset.n_rows, dtype=np.int64)
    counts[: vocabulary.size] = vocabulary.counts
    users, owners = np.unique(queries.users, return_inverse=True)
    return Evaluator(
        events=queries.targets(),
        n_queries=len(queries),
        owners=owners if len(users) < len(queries) else None,
        history_lengths=queries.stop - queries.start,
        counts=counts,
        first_item=vocabulary.first_item,
        n_warm_rows=vocabulary.size,
        ks=ks,
        headline_k=10 if 10 in ks else ks[0],
        samples=config.samples,
        level=config.level,
        groups=config.groups,
        seed=config.seed,
        gains=queries.target_weights(),
        correction=config.correction,
    )
