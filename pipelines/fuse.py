"""Blend trained runs with counts of what followed what, weighed on validation."""

import json
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
    from recsys_bert.retrieval.ranker import Ranker


@dataclass(frozen=True, kw_only=True)
class Config:
    """Add to a run's scores what came soon after the newest items in training: weight · log(1 + share / smoothing).

    Nothing is trained. Every pair of a weight and a smoothing is tried on validation, and the best is kept; `evaluate`,
    `recommend`, `index` and `similar` take the folder as they take the run's own. Of several runs, say of different
    seeds, the scores' mean is taken.
    """

    runs: tuple[Path, ...]
    """Run folders of `pretrain` or `train-retrieval`; they stay where they are, and are needed from then on."""

    data: Path
    """Folder that `prepare` wrote and the runs were trained on."""

    out: Path
    """Run folder to write; an earlier score fusion there is replaced."""

    weights: tuple[float, ...] = (0.5, 1.0)
    """Factors on what counts add; at 1 a share counts as much as a probability of the model. Given none, the mean of
    several runs stays as it is."""

    smoothings: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01)
    """Shares at which an item gains weight · log 2."""

    last: int = 5
    """Newest items of a history that speak."""

    window: int = 10
    """Largest gap, in events, at which one item still comes soon after another; a pair counts 1 / gap."""

    decay: float = 0.5
    """An item of the history that is n events old speaks with decay ** n, in (0, 1]."""

    most: int = 1000
    """Followers kept of every item, those that came most often; 0 keeps all."""

    validation_users: int = 10_000
    """Users ranked for each pair at most, drawn once; 0 takes all."""

    seed: int = 0
    """Of that draw."""

    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def __post_init__(self) -> None:
        for name in ("weights", "smoothings"):
            values = getattr(self, name)
            if not (values or name == "weights") or not all(0 < value < float("inf") for value in values):
                raise InputError(f"{name} are {list(values)}; give one number above 0 at least.")
        if not self.runs or len({run.resolve() for run in self.runs}) < len(self.runs):
            raise InputError(f"runs are {', '.join(map(str, self.runs)) or 'none'}; give one at least, and each once.")
        if len(self.runs) == 1 and not self.weights:
            raise InputError("without weights a run stays as it is. Give several runs, or a weight.")
        if self.seed < 0 or self.validation_users < 0:
            raise InputError(f"seed is {self.seed} and validation_users {self.validation_users}; neither is below 0.")


def run(config: Config) -> dict[str, Any]:
    """Count, choose, write ``out/score_fusion``.

    Returns:
        Figures without counts and of every pair, best pair, entries kept.

    Raises:
        InputError: Nothing is held out for validation and there are several pairs; or the runs, the log or ``out`` do
            not suit.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.files import replacing
    from recsys_bert.progress import step
    from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
    from recsys_bert.retrieval.load import open_run
    from recsys_bert.retrieval.score_fusion import ScoreFusion, is_score_fusion, one_ranker, save_score_fusion
    from recsys_bert.settings import write_config

    counts = CoOccurrence(last=config.last, window=config.window, decay=config.decay, most=config.most)
    for one in config.runs:
        if is_score_fusion(one):
            raise InputError(f"{one} is a score fusion already. Fuse the runs that it was made of.")
    if config.out.is_file() or (config.out.is_dir() and any(config.out.iterdir()) and not is_score_fusion(config.out)):
        raise InputError(f"{config.out} is there and is no score fusion. Choose another --out, or remove it.")
    dataset = open_dataset(config.data)
    ranker = one_ranker([open_run(one, dataset) for one in config.runs])
    items = ranker.item_vectors()  # before the work: runs may not rank the same items
    if config.weights:
        with step("counting what followed what"):
            counts.fit(dataset)
    tried = _tried(config, dataset, ranker, items, counts)
    best = max(tried[1:], key=lambda one: one["ndcg@10"], default=None)
    told: dict[str, Any] = {"weight": None, "smoothing": None, "kept": 0, "tried": tried}
    score_fusion, used = None, "without counts"
    if config.weights:
        weight, smoothing = (best["weight"], best["smoothing"]) if best else (config.weights[0], config.smoothings[0])
        score_fusion = ScoreFusion(ranker, counts, weight=weight, smoothing=smoothing)
        told |= {"weight": weight, "smoothing": smoothing, "kept": int(counts.after.nnz)}
        used = f"weight {weight:g}, smoothing {smoothing:g}, {counts.after.nnz:,} pairs"
    with replacing(config.out / "score_fusion") as aside:
        about = {"prepared": dataset.fingerprint, "tried": tried}
        save_score_fusion(aside, config.out / "score_fusion", config.runs, score_fusion, about)
    write_config(config, config.out / "config.toml")
    print(json.dumps(told) if config.json else _table(tried), end="\n" if config.json else "")
    if best and best["ndcg@10"] <= tried[0]["ndcg@10"]:
        print("on validation the scores without counts are no worse than any fusion.", file=sys.stderr)
    print(f"{used}; wrote {config.out}", file=sys.stderr)
    return told


def _tried(
    config: Config, dataset: "ClickDataset", ranker: "Ranker", items: "NDArray[np.float32]", counts: "CoOccurrence"
) -> list[dict[str, Any]]:
    """Validation figures without counts, as weight 0, and of every pair; empty where nothing is held out."""
    from recsys_bert.progress import Progress
    from recsys_bert.retrieval.ranker import search_vectors
    from recsys_bert.retrieval.score_fusion import ScoreFusion
    from recsys_bert.retrieval.validation import drawn_queries, list_metrics

    pairs = list(product(config.weights, config.smoothings))
    queries = drawn_queries(dataset, config.validation_users, config.seed)
    if not len(queries):
        if len(pairs) > 1:
            raise InputError(
                f"nothing is held out for validation in {config.data}, so {len(pairs)} pairs cannot be told apart. "
                "Give one weight and one smoothing, as chosen on a log that holds something out."
            )
        return []
    users, targets = ranker.user_vectors(queries), queries.targets()
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


def _table(tried: list[dict[str, Any]]) -> str:
    if not tried:
        return ""
    lines = ["weight   smoothing  recall@10  ndcg@10"]
    for one in tried:
        smoothing = "–" if one["smoothing"] is None else f"{one['smoothing']:g}"
        lines.append(f"{one['weight']:>6g}  {smoothing:>6}  {one['recall@10']:>9.4f}  {one['ndcg@10']:>7.4f}")
    return "\n".join([*lines, ""])
