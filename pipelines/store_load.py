"""Put a run's items into a vector store."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Put the vectors of a run's items into a store, with the catalogue's columns and texts; see `store search`."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`, which has the vectors of its runs."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    url: str
    """Folder of a store on this machine (faiss), or address of a database: postgresql://user@host/database,
    http://host:19530 (milvus), http://host:9200 (elastic). Items that are there already are replaced."""

    to: Literal["faiss", "milvus", "postgres", "elastic"] = "faiss"
    """System of the store; all but faiss need the extra of that name and a server."""

    name: str = "items"
    """Name of the store within a database; a folder holds one."""

    columns: tuple[str, ...] | None = None
    """Side columns to store, which filters read, and count (training events). None: all that a store can hold."""

    texts: tuple[str, ...] | None = None
    """Side columns whose values, joined, are searched by words. None: the title, where there is one."""

    metric: Literal["ip", "cosine"] = "ip"
    """ip: scores are those of the model, for vectors of users; cosine: for items like others."""

    json: bool = False
    """Print counts and time as JSON on stdout."""

    def __post_init__(self) -> None:
        if not self.url:
            raise InputError("url is empty; give a folder, as in --url runs/store, or an address.")


def run(config: Config) -> dict[str, Any]:
    """Put all items.

    Returns:
        Rows, width, columns, and seconds.

    Raises:
        InputError: A run and a log that do not belong together, unknown columns, or a store of other vectors.
    """
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.stages.store_items import store_items

    model, start = Recommender.load(config.run, config.data), time.perf_counter()
    with store_items(
        model,
        config.url,
        config.to,
        name=config.name,
        columns=config.columns,
        texts=config.texts,
        metric=config.metric,
    ) as store:
        summary: dict[str, Any] = {
            "rows": store.count(),
            "dim": store.about.dim,
            "columns": dict(store.about.columns),
            "seconds": time.perf_counter() - start,
        }
    columns = ", ".join(f"{name} ({kind})" for name, kind in summary["columns"].items()) or "none"
    print(
        f"{summary['rows']:,} items of dim {summary['dim']} in {config.to} at {_without_password(config.url)}, "
        f"{summary['seconds']:.1f} s; columns: {columns}",
        file=sys.stderr,
    )
    if config.json:
        print(json.dumps(summary))
    return summary


def _without_password(url: str) -> str:
    head, at, host = url.rpartition("@")
    return f"{head.rpartition(':')[0] if head.count(':') > 1 else head}{at}{host}"
