"""Score given pairs of users and items."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_out, write_frame


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write the scores of given (user, item) pairs, by the users' full histories."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    pairs: Path
    """Table with the columns user_id and item_id: .parquet, .csv, .tsv or .jsonl; other columns stay."""

    out: Path
    """File to write, by its ending: .parquet, .csv or .jsonl. The pairs in their order with `score`, empty where there
    is none, and `source`: history, or the reason: no events, unknown item, no vector."""

    json: bool = False
    """Print the counts as one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Score.

    Returns:
        Counts of pairs by ``source``.

    Raises:
        InputError: A table that cannot be read or lacks a column, or a run and a log that do not belong together.
    """
    from recsys_bert.clicks.prepare.sources import read_table
    from recsys_bert.retrieval.recommender import Recommender

    pairs = read_table(config.pairs)
    recommender = Recommender.load(config.run, config.data)
    frame = recommender.score(pairs)
    write_frame(frame, config.out)
    counts = dict(frame["source"].value_counts(sort=True).iter_rows())
    summary = {"run": config.run.name, "pairs": frame.height, "by_source": counts}
    print(f"{frame.height:,} pairs in {config.out}", file=sys.stderr)
    if config.json:
        print(json.dumps(summary))
    return summary
