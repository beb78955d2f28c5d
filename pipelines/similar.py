"""The items nearest to given items."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.support.item_lists import Found, as_frame, check_k, known_rows, show
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the items nearest to given items, by the item vectors of a trained run."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`, which has the vectors of its runs."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    items: tuple[str, ...]
    """Ids of items."""

    k: int = 10
    """Items for each; it is not among its own."""

    measure: Literal["cosine", "ip"] | None = None
    """What near means in an exact search: the angle, or the inner product (which favours long vectors). None: the
    angle."""

    index: Path | None = None
    """Index folder to search in, by its own metric; without one the search is exact."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        if self.measure is not None and self.index is not None:
            raise InputError(
                f"measure is {self.measure!r}, but an index is searched by its own metric. Leave out --measure, or "
                "make the index with another --metric."
            )
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Find them.

    Returns:
        Counts: asked, lists that came out short.

    Raises:
        InputError: Items that are not in the catalogue or have no vector, ``k`` larger than the catalogue, or a run,
            log and index that do not belong together.
    """
    import polars as pl

    from recsys_bert.clicks.dataset import open_dataset

    if not config.items:
        raise InputError("no item is given; give ids, as in --items 12 7.")
    dataset = open_dataset(config.data)
    rows = known_rows(dataset, list(dict.fromkeys(config.items)))
    found = _search(config, dataset, rows)
    keys = pl.Series("similar_to", dataset.ids(rows))
    told = {"run": config.run.name, "k": config.k, "asked": len(rows)}
    told["short_lists"] = int((found.rows < 0).any(axis=1).sum())
    return show(as_frame(found, dataset, keys), told, config.out, config.json)


def _search(config: Config, dataset: "ClickDataset", rows: "NDArray[np.int32]") -> Found:
    import numpy as np

    from recsys_bert.retrieval.exact import exact_top_k
    from recsys_bert.retrieval.load import open_run
    from recsys_bert.retrieval.ranker_index import open_index

    ranker = open_run(config.run, dataset)
    items = ranker.item_vectors()
    if (rows >= len(items)).any():
        names = dataset.ids(rows[rows >= len(items)]).to_list()
        raise InputError(f"items without training events have no vector in {config.run}: {names}. Ask two towers.")
    itself = np.arange(len(rows)), rows
    if config.index is not None:
        index = open_index(config.index, config.run, dataset)
        check_k(config.k, len(index))
        return Found(*index.search(items[rows], config.k, itself))
    check_k(config.k, len(items) - ranker.first_item)
    if config.measure != "ip":
        items = items / np.maximum(np.linalg.norm(items, axis=1, keepdims=True), 1e-12)
    return Found(*exact_top_k(items[rows], items, config.k, first_item=ranker.first_item, seen=itself))
