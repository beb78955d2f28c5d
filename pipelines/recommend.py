"""Best items for users of the log, or for histories given on the fly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.support.item_filters import item_lists, numbers_by_column
from pipelines.support.item_lists import print_lists
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the best items for users of the log, or for histories given on the fly."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on, or one whose vocabulary has grown from that."""

    users: tuple[str, ...] = ()
    """Ids of users; all their events are the history, held-out ones too. A user without events gets a list by features
    (see profiles) or the popular items; the column source says which."""

    all_users: bool = False
    """Every user of the log."""

    history: tuple[str, ...] = ()
    """Histories given on the fly, each one argument: item ids, oldest first, separated by spaces. They have no
    timestamps, so runs whose encoder reads them (encoder.times, encoder.time_gaps) need users of the log."""

    histories: Path | None = None
    """Text file with one such history a line."""

    k: int = 10
    """Items for each; all of a smaller catalogue."""

    seen: bool = False
    """Recommend items of the history, too."""

    only: tuple[str, ...] = ()
    """Allow list: files of item ids, or COLUMN=VALUE of the items' side table, as in category=Books. Values of one
    column are alternatives; items have to be in every file and have a value of every column."""

    without: tuple[str, ...] = ()
    """Deny list, likewise; items in any of them are left out."""

    diversity: float = 0.0
    """Weight of the redundancy in maximal marginal relevance, in [0, 1); 0 lists by score alone."""

    max_per: tuple[str, ...] = ()
    """Most items of one value in a list: COLUMN=N of the items' side table, as in category=2."""

    profiles: Path | None = None
    """Table of users without events: user_id and the columns of the log's user features."""

    index: Path | None = None
    """Index folder to search in; without one the search is exact."""

    out: Path | None = None
    """File to write instead of printing, by its ending: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        sources = [bool(self.users), self.all_users, bool(self.history), self.histories is not None]
        if sum(sources) != 1:
            raise InputError(
                f"{sum(sources)} of users, all_users, history and histories are given; give exactly one, as in "
                "--history '12 7 31'."
            )
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        if not 0 <= self.diversity < 1:
            raise InputError(f"diversity is {self.diversity}; it must lie in [0, 1).")
        numbers_by_column(self.max_per)
        if self.profiles is not None and not (self.users or self.all_users):
            raise InputError("profiles are features of users; they have no effect on histories. Give --users.")
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Recommend.

    Returns:
        Counts: queries, users without events, unknown items, lists that came out short.

    Raises:
        InputError: A history without any known item, unknown columns or values, or a run, log and index that do not
            belong together.
    """
    from recsys_bert.retrieval.item_filter import allowed_rows
    from recsys_bert.retrieval.keyed_queries import history_queries, user_queries
    from recsys_bert.retrieval.lister import ListSettings
    from recsys_bert.retrieval.recommender import Recommender

    recommender = Recommender.load(config.run, config.data, config.index)
    dataset = recommender.dataset
    if config.users or config.all_users:
        keyed = user_queries(dataset, None if config.all_users else list(config.users))
    else:
        keyed = history_queries(dataset, [line.split() for line in _lines(config)])
    allowed = allowed_rows(dataset, item_lists(dataset, config.only), item_lists(dataset, config.without))
    max_per = numbers_by_column(config.max_per)
    settings = ListSettings(config.k, not config.seen, allowed, config.diversity, max_per)
    frame = recommender.answer(keyed, settings, config.profiles)
    summary = {"run": config.run.name, "k": config.k, "asked": len(keyed.order), **keyed.counts}
    return print_lists(frame, summary, config.out, config.json)


def _lines(config: Config) -> list[str]:
    """Histories as typed, or those of a file."""
    if config.histories is None:
        return list(config.history)
    try:
        return config.histories.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the histories {config.histories} cannot be read: {error}.") from error
