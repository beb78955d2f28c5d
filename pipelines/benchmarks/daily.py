"""Day by day: yesterday's model as it is, one that goes on every day, and one trained anew every day.

    python -m pipelines.benchmarks.daily --out runs/daily
    python -m pipelines.benchmarks.daily --out runs/daily-towers --model towers

A simulated log in which some items are new each day: their clicks before that day are left out. Each day's clicks are
the targets of models that were trained on all clicks before it; histories reach up to the day as well. "New" are the
items that came after the first day. An encoder knows items by their clicks; towers by their category and tags as well.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from pipelines.support.flags import load_config
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.queries import Queries

MODELS = ("as it is", "goes on", "anew")
DAY_S = 86_400
SPLIT = {"kind": "none"}
FEATURES = {"categorical": ["category_path"], "multi": ["tags"]}
TOWERS = {"item_features": ["category_path", "tags"], "id_dropout": 0.2}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train on a simulated log day by day, and compare with training anew."""

    out: Path
    """Folder of the prepared logs, the runs and table.json."""

    users: int = 3_000
    """Users of the simulated log."""

    items: int = 800
    """Items of the simulated log, new ones included."""

    days: int = 10
    """Days that are followed; the log before them is the first one."""

    new_items: int = 12
    """Items that are new each day, from the second day on."""

    model: Literal["encoder", "towers"] = "encoder"
    """A pretrained encoder, or two towers with the items' category and tags."""

    epochs: int = 20
    """Epochs of a model that is trained anew."""

    epochs_a_day: int = 2
    """Epochs of a day's training that goes on, over all histories."""

    lr: float = 1e-3
    """Learning rate of a training anew."""

    lr_a_day: float = 3e-4
    """Learning rate of a day's training that goes on; that of a training anew fits the old clicks too closely."""

    item_init: str = "auto"
    """Start of new items in a training that goes on: auto, ppmi or random."""

    size: str = "tiny"
    """Size of the encoder."""

    k: int = 10
    """Length of the lists."""

    seed: int = 0
    """Seed of the log and of all trainings."""

    def __post_init__(self) -> None:
        if min(self.users, self.items, self.days, self.epochs, self.epochs_a_day, self.k) < 1 or self.new_items < 0:
            raise InputError("users, items, days, epochs, epochs_a_day and k are at least 1, new_items 0 or more.")
        if self.new_items * (self.days - 1) >= self.items:
            raise InputError(
                f"{self.new_items} new items on {self.days - 1} days are as many as all {self.items}. Lower one."
            )


def run(config: Config) -> list[dict[str, Any]]:
    """Follow the days, print the table and write ``table.json``.

    Returns:
        One row a day: ``day``, ``targets``, ``new_share`` of them, and by model ``recall``, ``recall_new`` (None
        without new targets) and ``seconds`` of preparing and training.
    """
    from recsys_bert.files import write_json

    log = daily_log(config)
    state, rows = _first_state(config, log), []
    for day in range(1, config.days + 1):
        if day > 1:
            state = _next_state(config, state, log.days[day - 2][1], log.items_of(day - 1), day)
        rows.append({"day": day, **_metrics(config, state, log, day)})
        print(_line(rows[-1]), file=sys.stderr)
    write_json(config.out / "table.json", rows)
    print("\n".join(table(rows, config.k)))
    return rows


@dataclass(frozen=True)
class _State:
    """Logs and runs of the three models on the morning of a day.

    Args:
        events: All clicks before it.
        log: They, appended day by day.
        anew: They, prepared anew.
        runs: Run of each model.
        seconds: Preparing and training of each since the day before.
    """

    events: "pl.DataFrame"
    log: "ClickDataset"
    anew: "ClickDataset"
    runs: dict[str, Path]
    seconds: dict[str, float]


def _first_state(config: Config, log: "DailyLog") -> _State:
    began, out = time.perf_counter(), config.out / "runs" / "first"
    prepared = _prepare(log.first, log.items_of(1), config.out / "logs" / "1")
    _train(config, prepared, out)
    seconds = time.perf_counter() - began
    return _State(log.first, prepared, prepared, dict.fromkeys(MODELS, out), dict.fromkeys(MODELS, seconds))


def _prepare(events: "pl.DataFrame", items: "pl.DataFrame", out: Path) -> "ClickDataset":
    import recsys_bert as rb

    return rb.prepare(events, items=items, item_features=FEATURES, split=SPLIT, out=out)


def _next_state(config: Config, state: _State, yesterday: "pl.DataFrame", items: "pl.DataFrame", day: int) -> _State:
    import polars as pl

    import recsys_bert as rb

    events = pl.concat([state.events, yesterday])
    outs = {name: config.out / "runs" / f"{name.replace(' ', '-')}-{day}" for name in MODELS[1:]}
    began = time.perf_counter()
    log = rb.append(state.log, yesterday, items=items, out=config.out / "logs" / str(day))
    _train(config, log, outs["goes on"], init=state.runs["goes on"])
    middle = time.perf_counter()
    anew = _prepare(events, items, config.out / "logs" / f"anew-{day}")
    _train(config, anew, outs["anew"])
    seconds = {"as it is": 0.0, "goes on": middle - began, "anew": time.perf_counter() - middle}
    return _State(events, log, anew, state.runs | outs, seconds)


def _metrics(config: Config, state: _State, log: "DailyLog", day: int) -> dict[str, Any]:
    """Targets of the day, and recall and seconds of each model."""
    import recsys_bert as rb

    (start, today), items, released = log.days[day - 1], log.items_of(day), log.released
    grown = rb.append(state.log, today, items=items, out=config.out / "logs" / "today")
    out = config.out / "logs" / "today-anew"
    anew = grown if state.anew is state.log else rb.append(state.anew, today, items=items, out=out)
    targets = _queries(grown, start).targets()[1]
    row: dict[str, Any] = {"targets": len(targets), "new_share": float(_is_new(grown, targets, released).mean())}
    for name in MODELS:
        recall = _recall(config, state.runs[name], anew if name == "anew" else grown, start, released)
        row |= {f"{name}: {key}": value for key, value in {**recall, "seconds": state.seconds[name]}.items()}
    return row


@dataclass(frozen=True)
class DailyLog:
    """A simulated log, day by day.

    Args:
        first: Clicks before the first day.
        days: First second and clicks of each day.
        released: New items, ``item_id`` and ``day``.
        items: Side table of all items.
    """

    first: "pl.DataFrame"
    days: "list[tuple[int, pl.DataFrame]]"
    released: "pl.DataFrame"
    items: "pl.DataFrame"

    def items_of(self, day: int) -> "pl.DataFrame":
        """Side table of the items that are there on a day."""
        import polars as pl

        later = self.released.filter(pl.col("day") > day)
        return self.items.join(later, on="item_id", how="anti", maintain_order="left")


def daily_log(config: Config) -> DailyLog:
    """Simulate the log and leave out clicks on items before their day.

    Raises:
        InputError: The log is too small.
    """
    import numpy as np
    import polars as pl

    from recsys_bert.clicks.simulation.process import FIRST_SECOND
    from recsys_bert.clicks.simulation.simulate import SimulateConfig, simulate

    most = min(SimulateConfig.max_events, config.items // 2)
    simulated = SimulateConfig(
        users=config.users,
        items=config.items,
        max_events=most,
        mean_events=min(SimulateConfig.mean_events, most / 2),
        impressions=0.0,
        seed=config.seed,
    )
    log = simulate(simulated)
    clicks, table = log.clicks.select("user_id", "item_id", "timestamp"), log.items.drop("title")
    begin = FIRST_SECOND + int(simulated.days / 2) * DAY_S  # by then everybody has begun
    number = config.new_items * (config.days - 1)
    items = np.random.default_rng([config.seed, 17]).permutation(config.items)[:number] + 1
    day = np.repeat(np.arange(2, config.days + 1), config.new_items)
    released = pl.DataFrame({"item_id": items, "day": day}, schema={"item_id": pl.Int64, "day": pl.Int64})
    clicks = clicks.join(released, on="item_id", how="left", maintain_order="left")
    is_released = pl.col("timestamp") >= begin + (pl.col("day") - 1) * DAY_S
    clicks = clicks.filter(pl.col("day").is_null() | is_released).drop("day")
    starts = [begin + day * DAY_S for day in range(config.days)]
    days = [(start, clicks.filter(pl.col("timestamp").is_between(start, start + DAY_S - 1))) for start in starts]
    if not all(part.height for _, part in days):
        raise InputError(f"some of {config.days} days have no clicks: {config.users} users are too few.")
    return DailyLog(clicks.filter(pl.col("timestamp") < begin), days, released, table)


def _train(config: Config, log: "ClickDataset", out: Path, init: Path | None = None) -> None:
    import recsys_bert as rb

    epochs = config.epochs if init is None else config.epochs_a_day
    lr = config.lr if init is None else config.lr_a_day
    train = {"epochs": epochs, "lr": lr, "seed": config.seed, "device": "cpu"}
    settings: dict[str, Any] = {"size": config.size} if init is None else {"init": init, "item_init": config.item_init}
    if config.model == "encoder":
        rb.pretrain(log, out=out, train=train, **settings)
    else:
        rb.train_retrieval(log, out=out, train=train, towers=TOWERS, **settings)


def _queries(log: "ClickDataset", start: int) -> "Queries":
    """Histories before a day, and the day's clicks as targets."""
    import numpy as np

    from recsys_bert.clicks.queries import Queries

    data = log.histories
    before = np.concatenate([[0], np.cumsum(data.times < start)])
    first, last = data.offsets[:-1], data.offsets[1:]
    stop = first + before[last] - before[first]
    users = np.flatnonzero((stop > first) & (last > stop))
    times = np.full(len(users), start)
    return Queries(data, users, first[users], stop[users], last[users], times)


def _is_new(log: "ClickDataset", rows: Any, released: "pl.DataFrame") -> Any:
    """True for rows of items that came after the first day."""
    import numpy as np

    return np.isin(rows, log.rows(released["item_id"])) & (rows >= log.vocabulary.first_item)


def _recall(
    config: Config, run: Path, log: "ClickDataset", start: int, released: "pl.DataFrame"
) -> dict[str, float | None]:
    """Share of the day's clicks among the lists: of all, and of those on new items."""
    from recsys_bert.retrieval.load import open_run

    queries = _queries(log, start)
    ranked = open_run(run, log).rank(queries, config.k)
    query, row = queries.targets()
    hits = (ranked[query] == row[:, None]).any(1)
    new = _is_new(log, row, released)
    return {"recall": float(hits.mean()), "recall_new": float(hits[new].mean()) if new.any() else None}


def table(rows: list[dict[str, Any]], k: int) -> list[str]:
    """Markdown table of the days, with the mean from the second day on."""
    heads = [f"{name}, {part}" for part in (f"recall@{k}", "on new items", "seconds") for name in MODELS]
    lines = [f"| day | clicks | on new items | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    lines += [_line(row) for row in rows]
    later = rows[1:]
    if later:
        keys = [key for key in later[0] if key != "day"]
        means = {key: mean([row[key] for row in later if row[key] is not None] or [0]) for key in keys}
        lines.append(_line({"day": f"mean from day {later[0]['day']}", **means}))
    return lines


def _line(row: dict[str, Any]) -> str:
    cells = [str(row["day"]), f"{row['targets']:,.0f}", f"{row['new_share']:.1%}"]
    for part in ("recall", "recall_new"):
        values = [row[f"{name}: {part}"] for name in MODELS]
        cells += ["" if value is None else f"{value:.4f}" for value in values]
    cells += [f"{row[f'{name}: seconds']:.1f}" for name in MODELS]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.daily"))
