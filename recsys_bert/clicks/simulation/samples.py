"""Writer of ``data/samples``: one tiny log in every format that `prepare` reads.

``python -c "from recsys_bert.clicks.simulation.samples import write_samples; write_samples()"``
"""

import gzip
from pathlib import Path

import polars as pl

from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate

CONFIG = SimulateConfig(
    users=12, items=32, mean_events=8.0, max_events=14, categories=2, leaves=2, styles=4, impressions=0.0
)


def write_samples(folder: Path = Path("data/samples")) -> None:
    """Write the same events once in each format, and the items' side table."""
    log = simulate(CONFIG)
    clicks, items = log.clicks, log.items
    folder.mkdir(parents=True, exist_ok=True)
    clicks.write_parquet(folder / "clicks.parquet")
    clicks.write_ipc(folder / "clicks.arrow")
    clicks.write_csv(folder / "clicks.csv")
    (folder / "clicks.tsv.gz").write_bytes(gzip.compress(clicks.write_csv(separator="\t").encode(), mtime=0))
    clicks.write_ndjson(folder / "clicks.jsonl")
    rated = clicks.with_columns(rating=pl.when(pl.col("event") == "purchase").then(5).otherwise(3))
    lines = rated.select(pl.concat_str("user_id", "item_id", "rating", "timestamp", separator="::"))
    _write(folder / "ratings.dat", lines.to_series())
    atomic = clicks.select("user_id", "item_id", "timestamp").rename(
        {"user_id": "user_id:token", "item_id": "item_id:token", "timestamp": "timestamp:float"}
    )
    atomic.write_csv(folder / "clicks.inter", separator="\t")
    in_order = clicks.sort("user_id", "timestamp").group_by("user_id", maintain_order=True).agg("item_id")
    words = pl.concat_list("user_id", "item_id").cast(pl.List(pl.String)).list.join(" ")
    _write(folder / "sequences.txt", in_order.select(words).to_series())
    items.with_columns(pl.col("tags").list.join("|")).write_csv(folder / "items.csv")


def _write(target: Path, lines: pl.Series) -> None:
    target.write_text("\n".join(lines.to_list()) + "\n", encoding="utf-8")
