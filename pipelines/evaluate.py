"""Rank the full catalogue with runs and baselines, compare them, and write ``report.html`` and ``report.json``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipelines.support.candidates import Candidate
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.evaluation.evaluation_run import EvaluationRun


@dataclass(frozen=True, kw_only=True)
class Config:
    """Offline report on runs of `pretrain`, `train-retrieval` and `fuse`, beside simple baselines."""

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Folder for report.html and report.json; those of an earlier evaluation are replaced."""

    runs: tuple[Path, ...] = ()
    """Run folders; the first is what the others are compared with."""

    baselines: tuple[str, ...] = ("popular", "popular_recent", "item_knn", "markov")
    """Baselines in the same table: popular, popular_recent, item_knn, markov, co_occurrence, item2vec."""

    split: Literal["validation", "test"] = "test"
    """Which held-out events are to be found."""

    ks: tuple[int, ...] = (5, 10, 20, 50)
    """List lengths. 10, or the smallest where 10 is not among them, is used for breakdowns and comparisons."""

    indexes: tuple[str, ...] = ("HNSW32", "SQ8")
    """FAISS factory strings set against exact search, for every run but those fused with counts, which raise items
    that no index would find."""

    truth: Path | None = None
    """The simulator's truth.parquet; adds the best possible recommender."""

    users: int = 0
    """Ask at most this many users, drawn once; 0 asks all."""

    seen: bool = False
    """Recommend items that the user has had already, too."""

    groups: int = 4
    """Groups of users by history length and of targets by popularity."""

    samples: int = 1000
    """Bootstrap resamples for the intervals; the paired tests draw ten times as many."""

    level: float = 0.95
    """Coverage of the intervals, in (0, 1)."""

    seed: int = 0
    """Of all resampling, of the drawn users and of the indexes' training."""

    json: bool = False
    """Print what report.json holds on stdout, and the tables on stderr."""

    def __post_init__(self) -> None:
        if not self.runs and not self.baselines:
            raise InputError("there is nothing to evaluate: give --runs or --baselines.")
        _check_once("runs", [str(folder.resolve()) for folder in self.runs])
        _check_once("baselines", self.baselines)
        if not self.ks or min(self.ks) < 1:
            raise InputError(f"ks is {list(self.ks)}; give list lengths ≥ 1.")
        if not 0 < self.level < 1 or self.samples < 0 or self.users < 0 or self.groups < 1:
            raise InputError("level must be in (0, 1), samples and users not negative, groups at least 1.")


def run(config: Config) -> dict[str, Any]:
    """Evaluate; return what ``report.json`` holds.

    Raises:
        InputError: k larger than the catalogue, a run of another vocabulary, an unknown baseline or index, a folder
            that cannot be written; all of them before anything is ranked.
    """
    from pipelines.support.best_possible import best_possible
    from pipelines.support.candidates import Asked, baselines, runs
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.evaluation.report.page import page
    from recsys_bert.evaluation.report.text import text
    from recsys_bert.files import replacing, write_json
    from recsys_bert.progress import step
    from recsys_bert.training.run_folder import check_writable

    dataset = open_dataset(config.data)
    queries = _questions(config, dataset)
    evaluation_run = _study(config, dataset, queries)
    seen = queries.seen()
    results = _asked(config, queries, evaluation_run, _protocol(config, dataset, queries, evaluation_run, seen))
    asked = Asked(dataset=dataset, queries=queries, evaluation_run=evaluation_run, seen=None if config.seen else seen)
    folders = [folder if folder.name not in ("", "..") else folder.resolve() for folder in config.runs]
    candidates = [*runs(folders, config.indexes, asked), *baselines(config.baselines, asked, results["notes"])]
    if config.truth is not None:
        candidates.append(best_possible(config.truth, config.split, asked))
    candidates = _told_apart(candidates)
    check_writable(config.out)
    values: dict[str, Any] = {}
    for candidate in candidates:
        ranked, speed = candidate.rank(results)
        with step(f"{candidate.name}: measures and intervals"):
            measured, values[candidate.name] = (candidate.evaluation_run or evaluation_run).measure(ranked)
        if candidate.evaluation_run is not None:  # other users, so other groups
            measured |= {"by_history": [], "by_popularity": []}
        results["models"].append(
            {"name": candidate.name, "kind": candidate.kind, "users_per_second": speed, **measured}
        )
    results["comparisons"] = evaluation_run.compare(values, _pairs(results["models"], evaluation_run.headline_k))
    with replacing(config.out / "report.html") as aside:
        aside.write_text(page(results), encoding="utf-8")
    write_json(config.out / "report.json", results)
    print(text(results), file=sys.stderr if config.json else sys.stdout)
    if config.json:
        print(json.dumps(results))
    print(f"report: {config.out / 'report.html'}", file=sys.stderr)
    return results


def _asked(
    config: Config, queries: "Queries", evaluation_run: "EvaluationRun", protocol: dict[str, Any]
) -> dict[str, Any]:
    """The report before anything is ranked: what was asked, and empty lists for what is found."""
    from pipelines.support.index_comparison import machine

    return {
        "data": config.data.name,
        "level": config.level,
        "machine": machine(),
        "protocol": protocol,
        "skipped": {reason: count for reason, count in queries.skipped.items() if count},
        "ks": list(evaluation_run.ks),
        "headline_k": evaluation_run.headline_k,
        "index_k": evaluation_run.ks[-1],
        **{name: [] for name in ("models", "comparisons", "indexes", "training", "fusion", "notes")},
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }


def _check_once(setting: str, given: Sequence[str]) -> None:
    if double := sorted({name for name in given if given.count(name) > 1}):
        raise InputError(f"{setting} names {', '.join(double)} twice; name each once.")


def _told_apart(candidates: "list[Candidate]") -> "list[Candidate]":
    """The same under distinct names: a run's folder may be called like a baseline."""
    from dataclasses import replace

    runs = {candidate.name for candidate in candidates if candidate.kind == "run"}
    return [
        replace(candidate, name=f"{candidate.name} (no run)")
        if candidate.kind != "run" and candidate.name in runs
        else candidate
        for candidate in candidates
    ]


def _questions(config: Config, dataset: "ClickDataset") -> "Queries":
    """The users asked; those left out are counted by reason."""
    from dataclasses import replace

    import numpy as np

    from recsys_bert.clicks.queries import Queries

    queries = Queries.of(dataset, config.split)
    if not len(queries):
        raise InputError(
            f"{config.data} holds out no {config.split} events, so there is nothing to find ({queries.skipped})."
            " Prepare the log with another split, or choose another --split."
        )
    if 0 < config.users < len(queries):
        chosen = np.random.default_rng(config.seed).choice(len(queries), config.users, replace=False)
        left = len(queries) - config.users
        queries = replace(queries[np.sort(chosen)], skipped={**queries.skipped, "not drawn (--users)": left})
    return queries


def _study(config: Config, dataset: "ClickDataset", queries: "Queries") -> "EvaluationRun":
    import numpy as np

    from recsys_bert.evaluation.evaluation_run import EvaluationRun
    from recsys_bert.evaluation.ranking import check_ks

    vocabulary, ks = dataset.vocabulary, tuple(sorted(set(config.ks)))
    check_ks(ks, vocabulary.n_items)
    counts = np.zeros(dataset.n_rows, dtype=np.int64)
    counts[: vocabulary.size] = vocabulary.counts
    return EvaluationRun(
        asked=queries.targets(),
        n_queries=len(queries),
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
    )


def _protocol(
    config: Config,
    dataset: "ClickDataset",
    queries: "Queries",
    evaluation_run: "EvaluationRun",
    seen: "tuple[NDArray[np.int64], NDArray[np.int32]]",
) -> dict[str, Any]:
    """Everything that one must know to compare a figure with another one, as counts and as one line.

    Args:
        config: The settings.
        dataset: The log.
        queries: The users.
        evaluation_run: The targets.
        seen: ``(query_index, row)`` pairs that the users have had.
    """
    import numpy as np

    data, rows = dataset.histories, evaluation_run.targets[1]
    n_items, n_cold = dataset.n_rows - evaluation_run.first_item, dataset.n_rows - evaluation_run.n_warm_rows
    again = np.isin(evaluation_run.targets[0] << 32 | rows, seen[0].astype(np.int64) << 32 | seen[1])
    split = dataset.manifest.split
    kind = str(split["kind"]).replace("_", "-") + ("" if split.get("validation", True) else ", refit")
    if since := split.get("test_from_iso"):
        kind += f" cut, test from {since}"
    ranked = f"full ranking of {n_items:,} items" + (f" ({n_cold:,} of them cold)" if n_cold else "")
    removed = "seen items kept" if config.seen else "seen items removed"
    parts = (kind, config.split, f"{len(queries):,} users", ranked, removed, "ties: lower row first")
    return {
        "line": " · ".join(parts),
        "split": split,
        "items": n_items,
        "users": len(queries),
        "users_cold": int((data.train_end[queries.users] == data.offsets[queries.users]).sum()),
        "targets": len(rows),
        "targets_unknown": int((rows < evaluation_run.first_item).sum()),
        "targets_cold": int((rows >= evaluation_run.n_warm_rows).sum()),
        "targets_seen": 0 if config.seen else int((again & (rows >= evaluation_run.first_item)).sum()),
        "fingerprint": dataset.fingerprint,
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
