"""Public logs with the words of their items, as prepared data sets in memory and text vectors of one space."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

import recsys_bert as rb
from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.clicks.histories import Histories, ranges
from recsys_bert.files import replacing

WIDTH = 96
"""Directions of the text vectors."""
Floats = NDArray[np.float32]


def _sequences(events: str, items: str, columns: list[str]) -> Callable[[Path], tuple[pl.DataFrame, pl.DataFrame]]:
    def read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
        lines = [line.split() for line in (folder / events).read_text(encoding="utf-8").splitlines() if line.strip()]
        frame = pl.DataFrame(
            {
                "user_id": np.repeat([line[0] for line in lines], [len(line) - 1 for line in lines]),
                "item_id": [item for line in lines for item in line[1:]],
            }
        )
        return frame, _texts(pl.read_csv(folder / items, separator="\t", quote_char=None, infer_schema=False), columns)

    return read


def _texts(table: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    text = pl.concat_str([pl.col(name).fill_null("") for name in columns[1:]], separator=" ")
    return table.select(item_id=pl.col(columns[0]).cast(pl.String), text=text)


def _ml_100k(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    def read(name: str) -> pl.DataFrame:
        frame = pl.read_csv(folder / name, separator="\t", quote_char=None, infer_schema=False)
        return frame.rename(lambda column: column.partition(":")[0])

    events = read("ml-100k.inter").select("user_id", "item_id", pl.col("timestamp").cast(pl.Float64).cast(pl.Int64))
    return events, _texts(read("ml-100k.item"), ["item_id", "movie_title", "class"])


def _ml_1m(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    table = pl.read_csv(folder / "sequences.tsv", separator="\t", quote_char=None, infer_schema=False)
    lists = [
        text.split() + ([last] if state == "complete" else [])
        for text, last, state in table.select("history", "test_item", "history_state").rows()
    ]
    users = np.repeat(table[table.columns[0]].to_numpy(), [len(one) for one in lists])
    events = pl.DataFrame({"user_id": users, "item_id": [item for one in lists for item in one]})
    items = pl.read_csv(folder / "items.tsv", separator="\t", quote_char=None, infer_schema=False)
    return events, _texts(items, ["item", "title", "genres"])


def _online_retail(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    events = pl.read_parquet(folder / "events.parquet").select(
        pl.col("user_id").cast(pl.String),
        pl.col("item_id").cast(pl.String),
        pl.col("timestamp").cast(pl.String).str.to_datetime(),
    )
    items = pl.read_csv(folder / "items.tsv", separator="\t", quote_char=None, infer_schema=False)
    return events.unique(["user_id", "item_id"], keep="first", maintain_order=True), _texts(items, ["item", "title"])


LOGS: dict[str, Callable[[Path], tuple[pl.DataFrame, pl.DataFrame]]] = {
    "ml-100k": _ml_100k,
    "amazon-scientific": _sequences("sequences.txt", "items.tsv", ["item", "text"]),
    "amazon-beauty": _sequences("Beauty.txt", "Beauty_items.tsv", ["item", "title", "categories_brand"]),
    "ml-1m": _ml_1m,
    "amazon-games": _sequences("sequences.txt", "items.tsv", ["item", "title"]),
    "microlens": _sequences("sequences.txt", "items.tsv", ["item", "title"]),
    "online-retail": _online_retail,
}
"""Folder → events, oldest first, and texts of items; in the order of the table."""

OTHERS = {
    "ml-100k": ["ml-1m"],
    "ml-1m": ["ml-100k"],
    "amazon-scientific": ["amazon-beauty"],
    "amazon-beauty": ["amazon-scientific"],
    "amazon-games": ["amazon-beauty", "amazon-scientific"],
    "microlens": ["ml-1m", "amazon-games"],
    "online-retail": ["amazon-beauty", "amazon-games"],
}
"""Logs that the encoder of the start ``elsewhere`` is pretrained on."""


def prepared(name: str, data: Path, work: Path, users: int, kind: str = "leave_one_out") -> ClickDataset:
    """A log of at most ``users`` users, split as ``kind`` says; prepared once."""
    folder = work / "logs" / f"{name}-{kind}"
    if not (folder / "manifest.json").exists():
        events, _ = LOGS[name](data / name)
        ids = events["user_id"].unique().sort()
        if len(ids) > users:
            sample = ids.sample(users, seed=0)
            events = events.filter(pl.col("user_id").is_in(sample.implode()))
        timed = "timestamp" in events.columns
        folder.parent.mkdir(parents=True, exist_ok=True)
        return rb.prepare(
            events, log={"time": "timestamp" if timed else None, "ids": "text"}, split={"kind": kind}, out=folder
        )
    return open_dataset(folder)


def text_vectors(logs: dict[str, ClickDataset], data: Path, work: Path) -> dict[str, Floats]:
    """Vectors ``[n_rows, WIDTH]`` by catalogue row of every log: TF-IDF and its strongest directions, fitted on all."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    path = work / "texts" / f"{'_'.join(logs)}.npz"
    if path.exists():
        with np.load(path) as arrays:
            return {name: arrays[name] for name in logs}
    texts = {}
    for name, log in logs.items():
        words = dict(LOGS[name](data / name)[1].unique("item_id", keep="first").rows())
        ids = log.items["item_id"].cast(pl.String).to_list()
        texts[name] = [""] * log.vocabulary.first_item + [words.get(item) or "" for item in ids]
    every = [text for one in texts.values() for text in one]
    matrix = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=30_000).fit_transform(every)
    rows = TruncatedSVD(WIDTH, random_state=0).fit_transform(matrix).astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    parts = np.split(rows, np.cumsum([len(one) for one in texts.values()])[:-1])
    vectors = dict(zip(texts, parts, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **vectors)  # type: ignore[arg-type]
    return vectors


def restricted(log: ClickDataset, scenario: str, seed: int) -> tuple[ClickDataset, NDArray[np.bool_]]:
    """A log with few users in training, or without the training events of some items.

    Args:
        log: The log.
        scenario: ``all``, ``10 %``, ``1 %`` (users in training and validation), or ``cold items`` (a tenth of the items
            lose their training and validation events).
        seed: Of the draw.

    Returns:
        The log, and the mask of items, by row, that have no training event; test events are untouched.
    """
    data, random = log.histories, np.random.default_rng([17, seed])
    if scenario == "cold items":
        cold = np.zeros(log.n_rows, np.bool_)
        known = np.arange(log.vocabulary.first_item, log.vocabulary.size)
        cold[random.choice(known, len(known) // 10, replace=False)] = True
        log = replace(log, histories=_without(data, cold))
    elif scenario != "all":
        share = {"10 %": 0.1, "1 %": 0.01}[scenario]
        trained = np.flatnonzero(data.train_end > data.offsets[:-1])
        sample = np.zeros(data.n_users, np.bool_)
        sample[random.choice(trained, max(round(share * len(trained)), 5), replace=False)] = True
        log = replace(log, histories=replace(data, train_end=np.where(sample, data.train_end, data.offsets[:-1])))
    data = log.histories
    items = data.items[ranges(data.offsets[:-1], data.train_end - data.offsets[:-1])]
    counts = np.bincount(items, minlength=log.n_rows)
    size = log.vocabulary.size
    vocabulary = replace(log.vocabulary, counts=counts[:size], weights=counts[:size].astype(np.float64))
    return replace(log, vocabulary=vocabulary), counts == 0


def _without(data: Histories, cold: NDArray[np.bool_]) -> Histories:
    """Histories without the events on some items before the test."""
    owner = np.repeat(np.arange(data.n_users), np.diff(data.offsets))
    at = np.arange(len(data.items))
    keep = ~cold[data.items] | (at >= data.validation_end[owner])

    def moved(border: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(keep)])[border]

    return replace(
        data,
        items=data.items[keep],
        times=data.times[keep],
        weights=None if data.weights is None else data.weights[keep],
        offsets=moved(data.offsets),
        train_end=moved(data.train_end),
        validation_end=moved(data.validation_end),
    )
