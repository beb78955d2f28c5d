"""Fuse trained runs with co-occurrence counts, weighed on validation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_bert.stages.fuse import FuseConfig, check_runs


@dataclass(frozen=True, kw_only=True)
class Config(FuseConfig):
    """Score fusion: add weight · log(1 + share / smoothing) to a run's scores, for items that followed the last ones.

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

    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_runs(self, self.runs)


def run(config: Config) -> dict[str, Any]:
    """Count, choose, write ``out/score_fusion``.

    Returns:
        Metrics without counts and of every pair, best pair, entries kept.

    Raises:
        InputError: See ``recsys_bert.stages.fuse``.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.fuse import fuse

    summary = fuse(config.runs, open_dataset(config.data), out=config.out, config=config).summary
    print(json.dumps(summary) if config.json else _table(summary["tried"]), end="\n" if config.json else "")
    return summary


def _table(tried: list[dict[str, Any]]) -> str:
    if not tried:
        return ""
    lines = ["weight   smoothing  recall@10  ndcg@10"]
    for line in tried:
        smoothing = "–" if line["smoothing"] is None else f"{line['smoothing']:g}"
        lines.append(f"{line['weight']:>6g}  {smoothing:>6}  {line['recall@10']:>9.4f}  {line['ndcg@10']:>7.4f}")
    return "\n".join([*lines, ""])
