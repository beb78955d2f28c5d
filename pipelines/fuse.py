"""Fuse trained runs with co-occurrence counts, recency and text, weighed on validation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_bert.stages.fuse_config import FuseConfig, check_named_settings, check_runs

_LINES = 10  # settings in the table
_COLUMNS = (
    ("weight", "weight"),
    ("smoothing", "smoothing"),
    ("half-life", "half_life"),
    ("recency", "recent_kernel"),
    ("days", "recent_days"),
    ("weight", "recent_weight"),
    ("smoothing", "recent_smoothing"),
)
_OPTIONAL = (
    ("text", "text_weight"),
    ("last", "text_last"),
    ("decay", "text_decay"),
    ("popular", "popularity_weight"),
)


@dataclass(frozen=True, kw_only=True)
class Config(FuseConfig):
    """Score fusion: add weight · log(1 + share / smoothing) to a run's scores, by counts and by recency.

    The share is an item's in what followed the user's last items, and in the last events of training. Nothing is
    trained: settings are tried on validation, and the best are kept; `evaluate`, `recommend`, `index` and `similar`
    take the folder as they take the run's own. Of several runs, say of different seeds, the scores' mean is taken.
    With --text, what the user's last items say is one more source; without runs, all is added to popularity.
    """

    runs: tuple[Path, ...] = ()
    """Run folders of `pretrain` or `train-retrieval`; they stay where they are, and are needed from then on. None:
    counts, recency and text alone, with nothing trained."""

    data: Path
    """Folder that `prepare` wrote and the runs were trained on."""

    out: Path
    """Run folder to write; an earlier score fusion there is replaced."""

    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_runs(self, self.runs, self.text is not None)

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse settings that have no effect."""
        check_named_settings(names, bool(self.runs), self.text is not None)


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
    columns = [*_COLUMNS, *(column for column in _OPTIONAL if any(column[1] in line for line in tried))]
    lines = [" ".join(f"{head:>9}" for head in (*(head for head, _ in columns), "recall@10", "ndcg@10"))]
    for line in [tried[0], *best]:
        cells = " ".join(f"{_cell(line, name):>9}" for _, name in columns)
        lines.append(f"{cells} {line['recall@10']:>9.4f} {line['ndcg@10']:>9.4f}")
    if len(tried) > len(lines) - 1:
        lines.append(f"({len(tried):,} settings tried)")
    return "\n".join([*lines, ""])


def _cell(line: dict[str, Any], name: str) -> str:
    """Value of a setting as text; a dash where it is not used."""
    value = line.get(name)
    if value is None or (name in ("weight", "smoothing", "half_life") and not line["weight"]):
        return "–"
    return value.replace("_", "-") if isinstance(value, str) else f"{value:g}"
