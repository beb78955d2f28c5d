"""Items nearest to given items."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.support.item_lists import print_lists
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError


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
    """Items for each, without itself; all of a smaller catalogue."""

    similarity: Literal["cosine", "ip"] | None = None
    """Similarity of an exact search: cosine, or inner product, which favours long vectors. None: cosine."""

    index: Path | None = None
    """Index folder to search, by its own metric; without one the search is exact."""

    out: Path | None = None
    """File to write instead of printing, by its ending: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        if self.similarity is not None and self.index is not None:
            raise InputError(
                f"similarity is {self.similarity!r}, but an index is searched by its own metric. Leave out "
                "--similarity, or make the index with another --metric."
            )
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Find the nearest items.

    Returns:
        Counts: items asked about, and lists that came out short.

    Raises:
        InputError: Items that are not in the catalogue or have no vector; or a run, log and index that do not belong
            together.
    """
    from recsys_bert.retrieval.recommender import Recommender

    if not config.items:
        raise InputError("no item is given; give ids, as in --items 12 7.")
    recommender = Recommender.load(config.run, config.data, config.index)
    items = list(dict.fromkeys(config.items))
    frame = recommender.similar(items, config.k, similarity=config.similarity)
    summary = {"run": config.run.name, "k": config.k, "asked": len(items)}
    return print_lists(frame, summary, config.out, config.json)
