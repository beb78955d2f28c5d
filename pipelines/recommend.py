"""Best items for users of the log, or for histories given on the fly."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.support.item_filters import item_lists, numbers_by_column
from pipelines.support.item_lists import print_lists
from pipelines.support.item_words import ItemWordsConfig, open_with_words
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.retrieval.keyed_queries import KeyedQueries


@dataclass(frozen=True, kw_only=True)
class Config(ItemWordsConfig):
    """Print or write the best items for users of the log, for histories given on the fly, or for words."""

    MAIN: ClassVar[tuple[str, ...]] = (
        *("run", "data", "users", "all_users", "history", "histories", "query", "query_weight", "k", "seen", "only"),
        *("without", "diversity", "max_per", "profiles", "item_vectors", "text_encoder", "new_items", "cold_items"),
        *("cold.neighbours", "index", "out", "json"),
    )

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
    """Histories given on the fly, each one argument: item ids, oldest first, separated by spaces; or a JSON list, which
    ids with spaces need. If an id begins with -, write --history='-5 7'. They have no timestamps, so runs whose encoder
    reads them (encoder.times, encoder.time_gaps) need users of the log."""

    histories: Path | None = None
    """File of histories, one a line: ids separated by spaces, JSON lists, or JSON objects with a list ``history``; or
    Parquet with a column of lists. Those without a known item are counted and skipped."""

    query: str | None = None
    """Words to be found in the items' texts, weighed with the scores of the users or histories; without those they
    decide alone. Needs item_vectors; the search is exact."""

    query_weight: float = 0.5
    """Weight of the words against the user, in (0, 1), both on a scale of spread 1."""

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
        super().__post_init__()
        sources = [bool(self.users), self.all_users, bool(self.history), self.histories is not None]
        if sum(sources) != 1 and not (self.query is not None and not any(sources)):
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
        self._check_query(any(sources))
        check_out(self.out)

    def _check_query(self, has_source: bool) -> None:
        if self.query is None:
            if self.query_weight != Config.query_weight:
                raise InputError(f"query_weight is {self.query_weight}, but there is no query. Pass --query.")
            return
        if not self.query.strip():
            raise InputError("query is empty; give some words.")
        if not 0 < self.query_weight < 1:
            raise InputError(f"query_weight is {self.query_weight}; it must lie in (0, 1).")
        if not has_source and (self.diversity or self.max_per or self.query_weight != Config.query_weight):
            raise InputError(
                "diversity, max_per and query_weight have no effect on a query without users or histories; leave them "
                "out."
            )


def run(config: Config) -> dict[str, Any]:
    """Recommend.

    Returns:
        Counts: queries, users without events, unknown items, lists that came out short.

    Raises:
        InputError: A history without any known item, unknown columns or values, or a run, log and index that do not
            belong together.
    """
    from recsys_bert.retrieval.item_filter import allowed_rows
    from recsys_bert.retrieval.lister import ListSettings

    recommender, _ = open_with_words(config, config.run, config.data, config.index)
    dataset = recommender.dataset
    only, without = item_lists(dataset, config.only), item_lists(dataset, config.without)
    summary: dict[str, Any] = {"run": config.run.name, "k": config.k, "asked": 1}
    if (keyed := _queries(config, dataset)) is None:
        frame = recommender.recommend(query=config.query, k=config.k, only=only, without=without)
    else:
        allowed, max_per = allowed_rows(dataset, only, without), numbers_by_column(config.max_per)
        settings = ListSettings(config.k, not config.seen, allowed, config.diversity, max_per)
        frame = recommender.answer(keyed, settings, config.profiles, config.query, config.query_weight)
        summary |= {"asked": len(keyed.order), **keyed.counts}
    return print_lists(frame, summary, config.out, config.json)


def _queries(config: Config, dataset: "ClickDataset") -> "KeyedQueries | None":
    """Users or histories; None for a query alone."""
    from recsys_bert.retrieval.keyed_queries import user_queries

    if config.users or config.all_users:
        return user_queries(dataset, None if config.all_users else list(config.users))
    return _history_queries(config, dataset) if config.history or config.histories is not None else None


def _history_queries(config: Config, dataset: "ClickDataset") -> "KeyedQueries":
    """Histories as typed, or those of a file."""
    from recsys_bert.clicks.history_files import parse_history, read_histories
    from recsys_bert.retrieval.keyed_queries import history_queries

    if config.histories is None:
        typed = [parse_history(line) for line in config.history]
        if None in typed:
            raise InputError(f"the history {config.history[typed.index(None)]!r} is no list of ids in JSON.")
        return history_queries(dataset, [history or [] for history in typed])
    histories, n_unreadable = read_histories(config.histories)
    if n_unreadable:
        print(
            f"{n_unreadable:,} lines of {config.histories} are no JSON lists of ids and are skipped.", file=sys.stderr
        )
    return history_queries(dataset, histories, skip_unknown=True)
