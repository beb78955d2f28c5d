"""Score fusion of trained runs with co-occurrence counts, weighed on validation."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.folders import temporary_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
    from recsys_bert.retrieval.ranker import Ranker
    from recsys_bert.retrieval.recommender import Recommender


@dataclass(frozen=True, kw_only=True)
class FuseConfig:
    """Settings of score fusion."""

    weights: tuple[float, ...] = (0.5, 1.0)
    """Factors on the gain from counts; at 1 a share counts as much as a probability of the model. None given: the mean
    of several runs stays as it is."""

    smoothings: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01)
    """Shares at which an item gains weight · log 2."""

    last: int = 5
    """Last items of a history whose followers count."""

    window: int = 10
    """Largest gap, in events, at which one item follows another; a pair counts 1 / gap."""

    decay: float = 0.5
    """An item of the history that is n events old counts decay ** n, in (0, 1]."""

    most: int = 1000
    """Followers of every item, the most frequent ones; 0 keeps all."""

    validation_users: int = 10_000
    """Users ranked for each pair at most, drawn once; 0 takes all."""

    seed: int = 0
    """Seed of that draw."""

    def __post_init__(self) -> None:
        for name in ("weights", "smoothings"):
            values = getattr(self, name)
            if not (values or name == "weights") or not all(0 < value < float("inf") for value in values):
                raise InputError(f"{name} are {list(values)}; give one number above 0 at least.")
        if self.seed < 0 or self.validation_users < 0:
            raise InputError(f"seed is {self.seed} and validation_users {self.validation_users}; neither is below 0.")


def check_runs(config: FuseConfig, runs: Sequence[Path]) -> None:
    """Check the runs of a fusion.

    Raises:
        InputError: None, one of them twice, or a single one without counts.
    """
    if not runs or len({run.resolve() for run in runs}) < len(runs):
        raise InputError(f"runs are {', '.join(map(str, runs)) or 'none'}; give one at least, and each once.")
    if len(runs) == 1 and not config.weights:
        raise InputError("without weights a run stays as it is. Give several runs, or a weight.")


def fuse(
    runs: "Sequence[Path | str | Recommender]",
    dataset: "ClickDataset",
    *,
    out: Path | str | None = None,
    config: FuseConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> "Recommender":
    """Fuse the scores of trained runs with co-occurrence counts, and write ``out/score_fusion``.

    Nothing is trained. Every pair of a weight and a smoothing is tried on validation, and the best is kept.

    Args:
        runs: Run folders of ``pretrain`` or ``train-retrieval``, or what those returned; they stay where they are, and
            are needed from then on.
        dataset: The log that they were trained on.
        out: Run folder; an earlier score fusion there is replaced. None: a temporary one, removed with what is
            returned.
        config: All settings as one object.
        allow_parts: Import parts from outside (``module:Class``) that the runs name; their code runs.
        **settings: Settings by name, in place of ``config``: ``weights=[1.0]``.

    Returns:
        The fused recommender. Its ``summary`` has ``weight``, ``smoothing``, ``kept`` (entries of the counts) and
        ``tried`` (metrics without counts, as weight 0, and of every pair).

    Raises:
        InputError: Nothing is held out for validation and there are several pairs; or the runs, the log or ``out`` do
            not suit.
    """
    from recsys_bert.retrieval.recommender import run_folder_of

    settled = make_config(FuseConfig, config, settings)
    folders = [run_folder_of(run) for run in runs]
    check_runs(settled, folders)
    with allowing_parts(allow_parts):
        if out is not None:
            return _fuse(folders, dataset, Path(out), settled)
        with temporary_run("fusion") as (folder, keep_with):
            return keep_with(_fuse(folders, dataset, folder, settled))


def _fuse(runs: Sequence[Path], dataset: "ClickDataset", out: Path, config: FuseConfig) -> "Recommender":
    from recsys_bert.files import replacing
    from recsys_bert.progress import step
    from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
    from recsys_bert.retrieval.load import open_run
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.retrieval.score_fusion import ScoreFusion, one_ranker, save_score_fusion
    from recsys_bert.settings import write_config

    counts = CoOccurrence(last=config.last, window=config.window, decay=config.decay, most=config.most)
    _check_folders(runs, out)
    ranker = one_ranker([open_run(run, dataset) for run in runs], out.name)
    if config.weights:
        with step("counting what followed what"):
            counts.fit(dataset)
    tried = _tried(config, dataset, ranker, counts)
    best = max(tried[1:], key=lambda line: line["ndcg@10"], default=None)
    summary: dict[str, Any] = {"weight": None, "smoothing": None, "kept": 0, "tried": tried}
    score_fusion, used = None, "without counts"
    if config.weights:
        weight, smoothing = (best["weight"], best["smoothing"]) if best else (config.weights[0], config.smoothings[0])
        score_fusion = ScoreFusion(ranker, counts, weight=weight, smoothing=smoothing, name=out.name)
        summary |= {"weight": weight, "smoothing": smoothing, "kept": int(counts.after.nnz)}
        used = f"weight {weight:g}, smoothing {smoothing:g}, {counts.after.nnz:,} pairs"
    with replacing(out / "score_fusion") as temporary:
        about = {"prepared": dataset.fingerprint, "tried": tried}
        save_score_fusion(temporary, out / "score_fusion", runs, score_fusion, about)
    write_config(config, out / "config.toml")
    if best and best["ndcg@10"] <= tried[0]["ndcg@10"]:
        print("on validation the scores without counts are no worse than any fusion.", file=sys.stderr)
    print(f"{used}; wrote {out}", file=sys.stderr)
    return Recommender(score_fusion or ranker, dataset, out, summary=summary)


def _check_folders(runs: Sequence[Path], out: Path) -> None:
    from recsys_bert.retrieval.score_fusion import is_score_fusion

    for run in runs:
        if is_score_fusion(run):
            raise InputError(f"{run} is a score fusion already. Fuse the runs that it was made of.")
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not is_score_fusion(out)):
        raise InputError(f"{out} is there and is no score fusion. Choose another --out, or remove it.")


def _tried(
    config: FuseConfig, dataset: "ClickDataset", ranker: "Ranker", counts: "CoOccurrence"
) -> list[dict[str, Any]]:
    """Validation metrics without counts, as weight 0, and of every pair; empty where nothing is held out."""
    from recsys_bert.progress import Progress
    from recsys_bert.retrieval.ranker import search_vectors
    from recsys_bert.retrieval.score_fusion import ScoreFusion
    from recsys_bert.retrieval.validation import drawn_queries, list_metrics

    pairs = list(product(config.weights, config.smoothings))
    queries = drawn_queries(dataset, config.validation_users, config.seed)
    if not len(queries):
        if len(pairs) > 1:
            raise InputError(
                f"nothing is held out for validation in {dataset.folder}, so {len(pairs)} pairs cannot be told apart. "
                "Give one weight and one smoothing, as chosen on a log that holds something out."
            )
        return []
    users, items, targets = ranker.user_vectors(queries), ranker.item_vectors(), queries.targets()
    alone = search_vectors(ranker, users, items, queries, min(10, len(items) - ranker.first_item), queries.seen())

    def metrics(ranked: "NDArray[np.int32]") -> dict[str, float]:
        return list_metrics(ranked, targets, ranker.first_item, 10)

    tried: list[dict[str, Any]] = [{"weight": 0.0, "smoothing": None, **metrics(alone[0])}]
    with Progress("trying weights", len(pairs), "pairs") as progress:
        for weight, smoothing in pairs:
            score_fusion = ScoreFusion(ranker, counts, weight=weight, smoothing=smoothing)
            ranked = score_fusion.rerank(alone, users, queries, items=items, exclude_seen=True)[0]
            tried.append({"weight": weight, "smoothing": smoothing, **metrics(ranked)})
            progress.advance(1)
    return tried
