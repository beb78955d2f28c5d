"""Fuse trained runs with co-occurrence counts and recency, weighed on validation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_bert.stages.fusion_config import FuseConfig, check_runs

_LINES = 10  # settings in the table


@dataclass(frozen=True, kw_only=True)
class Config(FuseConfig):
    """Score fusion: add weight · log(1 + share / smoothing) to a run's scores, by counts and by recency.

    The share is an item's in what followed the user's last items, and in the last events of training. Nothing is
    trained: settings are tried on validation, and the best are kept; `evaluate`, `recommend`, `index` and `similar`
    take the folder as they take the run's own. Of several runs, say of different seeds, the scores' mean is taken.
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
        The best settings, entries kept, and all settings tried with their metrics.

    Raises:
        InputError: See ``recsys_bert.stages.fuse``.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.fuse import fuse

    summary = fuse(config.runs, open_dataset(config.data), out=config.out, config=config).summary
    print(json.dumps(summary) if config.json else _table(summary["tried"]), end="\n" if config.json else "")
    return summary


def _table(tried: list[dict[str, Any]]) -> str:
    """The runs alone, then the best settings."""
    if not tried:
        return ""
    best = sorted(tried[1:], key=lambda line: -line["ndcg@10"])[:_LINES]
    heads = ("weight", "smoothing", "half-life", "recency", "days", "weight", "smoothing", "recall@10", "ndcg@10")
    lines = [" ".join(f"{head:>9}" for head in heads)]
    for line in [tried[0], *best]:
        counts = [_number(line.get(name)) if line["weight"] else "–" for name in ("weight", "smoothing", "half_life")]
        recency = [_number(line.get(f"recent_{name}")) for name in ("days", "weight", "smoothing")]
        kernel = line.get("recent_kernel", "–").replace("_", "-")
        cells = " ".join(f"{cell:>9}" for cell in [*counts, kernel, *recency])
        lines.append(f"{cells} {line['recall@10']:>9.4f} {line['ndcg@10']:>9.4f}")
    if len(tried) > len(lines) - 1:
        lines.append(f"({len(tried):,} settings tried)")
    return "\n".join([*lines, ""])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
