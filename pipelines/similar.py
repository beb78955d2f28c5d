"""Items nearest to given items, or users nearest to given users."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.support.item_filters import item_lists
from pipelines.support.item_lists import print_lists
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the items nearest to given items, or the users nearest to given users, by a run's vectors."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`, which has the vectors of its runs."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    items: tuple[str, ...] = ()
    """Ids of items."""

    users: tuple[str, ...] = ()
    """Ids of users with events, by the cosine of their vectors; in place of items."""

    k: int = 10
    """Items or users for each, without itself; all of a smaller catalogue."""

    only: tuple[str, ...] = ()
    """Allow list: files of item ids, or COLUMN=VALUE of the items' side table; see recommend."""

    without: tuple[str, ...] = ()
    """Deny list, likewise."""

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
        if bool(self.items) == bool(self.users):
            raise InputError("give either items or users, as in --items 12 7.")
        of_items = [name for name in ("only", "without", "similarity", "index") if getattr(self, name)]
        if self.users and of_items:
            raise InputError(f"{of_items[0]} is for similar items and has no effect on users; leave it out.")
        if self.similarity is not None and self.index is not None:
            raise InputError(
                f"similarity is {self.similarity!r}, but an index is searched by its own metric. Leave out "
                "--similarity, or make the index with another --metric."
            )
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Find the nearest.

    Returns:
        Counts: items or users asked about, and lists that came out short.

    Raises:
        InputError: Items that are not in the catalogue or have no vector, users without events; or a run, log and
            index that do not belong together.
    """
    from recsys_bert.retrieval.recommender import Recommender

    recommender = Recommender.load(config.run, config.data, config.index)
    ids = list(dict.fromkeys(config.items or config.users))
    if config.users:
        frame = recommender.similar_users(ids, config.k)
    else:
        only, without = (item_lists(recommender.dataset, part) for part in (config.only, config.without))
        frame = recommender.similar(ids, config.k, similarity=config.similarity, only=only, without=without)
    summary = {"run": config.run.name, "k": config.k, "asked": len(ids)}
    return print_lists(frame, summary, config.out, config.json)
