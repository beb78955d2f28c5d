"""The best items for users of the log, or for histories given on the fly."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.support.item_lists import Found, as_frame, check_k, show
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.queries import Queries


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the best items for users of the log, or for histories given on the fly."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    users: tuple[str, ...] = ()
    """Ids of users of the log; everything that they did is their history, held-out events too."""

    all_users: bool = False
    """Every user of the log."""

    history: tuple[str, ...] = ()
    """Histories given on the fly, each one argument: item ids, oldest first, separated by spaces. They have no times,
    so runs whose encoder reads some (encoder.times, encoder.time_gaps) answer for users of the log only."""

    histories: Path | None = None
    """Text file with one such history a line."""

    k: int = 10
    """Items for each."""

    seen: bool = False
    """Recommend items of the history, too."""

    index: Path | None = None
    """Index folder to search in; without one the search is exact."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        given = [bool(self.users), self.all_users, bool(self.history), self.histories is not None]
        if sum(given) != 1:
            raise InputError(
                f"{sum(given)} of users, all_users, history and histories are given; give exactly one, as in "
                "--history '12 7 31'."
            )
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Recommend.

    Returns:
        Counts: asked, skipped by reason, unknown items, lists that came out short.

    Raises:
        InputError: Unknown users, a history without any known item, ``k`` larger than the catalogue, or a run, log and
            index that do not belong together.
    """
    from recsys_bert.clicks.dataset import open_dataset

    dataset = open_dataset(config.data)
    if config.users or config.all_users:
        queries, keys, told = _of_users(config, dataset)
    else:
        queries, keys, told = _of_histories(config, dataset)
    found = _search(config, dataset, queries)
    short = int((found.rows < 0).any(axis=1).sum())
    told = {"run": config.run.name, "k": config.k, "asked": len(queries), **told, "short_lists": short}
    if short:
        print(f"{short:,} lists are shorter than {config.k}: no more unseen items are left.", file=sys.stderr)
    return show(as_frame(found, dataset, keys), told, config.out, config.json)


def _of_users(config: Config, dataset: "ClickDataset") -> tuple["Queries", "pl.Series", dict[str, Any]]:
    import numpy as np

    from recsys_bert.clicks.queries import Queries

    data = dataset.histories
    users = np.arange(data.n_users) if config.all_users else dataset.user_rows(list(dict.fromkeys(config.users)))
    start, stop = data.offsets[users], data.offsets[users + 1]
    some = stop > start
    users, start, stop = users[some], start[some], stop[some]
    if not len(users):
        raise InputError(f"none of the {len(some):,} users asked for has any event in {config.data}.")
    if not some.all():
        print(f"{int((~some).sum()):,} users have no events and are skipped.", file=sys.stderr)
    queries = Queries(data, users, start, stop, stop, data.times[stop - 1] + 1)
    return queries, dataset.user_ids.gather(users).rename("user_id"), {"skipped": {"no events": int((~some).sum())}}


def _of_histories(config: Config, dataset: "ClickDataset") -> tuple["Queries", "pl.Series", dict[str, Any]]:
    import numpy as np
    import polars as pl

    from recsys_bert.clicks.queries import Queries

    lines = list(config.history)
    if config.histories is not None:
        try:
            lines = config.histories.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the histories {config.histories} cannot be read: {error}.") from error
    ids = [line.split() for line in lines]
    flat = [name for history in ids for name in history]
    if not flat:
        raise InputError("no history holds an item; give item ids separated by spaces, oldest first.")
    rows = dataset.rows(flat)
    known = rows >= dataset.vocabulary.first_item
    borders = np.cumsum([len(history) for history in ids])[:-1]
    bad = [number for number, part in enumerate(np.split(known, borders), start=1) if not part.any()]
    if bad:
        raise InputError(
            f"{len(bad):,} of {len(ids):,} histories hold no item of {config.data}; the first is number {bad[0]}: "
            f"{lines[bad[0] - 1]!r}."
        )
    unknown = int((~known).sum())
    if unknown:
        shown = ", ".join(dict.fromkeys(repr(name) for name, there in zip(flat, known, strict=True) if not there))
        print(f"{unknown:,} of {len(flat):,} items are unknown and read as such: {shown[:200]}", file=sys.stderr)
    keys = pl.Series("history", np.arange(1, len(ids) + 1))
    return Queries.from_lists(np.split(rows, borders)), keys, {"unknown_items": unknown}


def _search(config: Config, dataset: "ClickDataset", queries: "Queries") -> Found:
    from recsys_bert.retrieval.load import open_run
    from recsys_bert.retrieval.ranker import search
    from recsys_bert.retrieval.ranker_index import open_index

    ranker = open_run(config.run, dataset)
    if ranker.reads_times and not queries.timed:
        raise InputError(
            f"the encoder of {config.run} reads when events happened, and a history given on the fly does not say. Ask "
            "about users of the log, with --users or --all-users."
        )
    index = None if config.index is None else open_index(config.index, config.run, dataset)
    if index is not None and index.config.metric != "ip":
        raise InputError(
            f"the index {config.index} searches by {index.config.metric}, but a run's scores are inner products. "
            "Make one with `recsys-bert index --metric ip`."
        )
    check_k(config.k, len(ranker.item_vectors()) - ranker.first_item if index is None else len(index))
    return Found(*search(ranker, queries, config.k, None if config.seen else queries.seen(), index))
