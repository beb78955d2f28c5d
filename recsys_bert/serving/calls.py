"""Calls of a client: bodies of requests, and how their answers are read; shared by both clients."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys_bert.errors import InputError

MOST = 64
"""Lists and texts of one request; longer ones are sent in parts."""


@dataclass(frozen=True)
class Call:
    """Requests to one path, and the reader of all their answers."""

    path: str
    bodies: Sequence[Mapping[str, Any]]
    read: Callable[[list[Any]], Any]


def recommend(users: Any, histories: Any, settings: Mapping[str, Any]) -> Call:
    """Lists of users or of histories, or one from ``settings``."""
    if users is not None and histories is not None:
        raise InputError("users and histories are both given; give one of them.")
    if users is None and histories is None:
        return Call("/recommend", [settings], lambda answers: _lists(answers, [0]))
    name, values = ("users", _plain(users)) if histories is None else ("histories", [_plain(one) for one in histories])
    bodies = [{name: part, **settings} for part in _parts(values)]
    firsts = list(range(0, len(values), MOST))
    return Call("/recommend", bodies, lambda answers: _lists(answers, firsts))


def similar(items: Any, settings: Mapping[str, Any]) -> Call:
    """Items nearest to items."""
    return Call("/similar", [{"items": part, **settings} for part in _parts(_plain(items))], _similar)


def score(pairs: Any) -> Call:
    """Scores of a frame of pairs, or a dict of columns."""
    rows = pl.DataFrame(pairs).select("user_id", "item_id").to_dicts()
    return Call("/score", [{"pairs": part} for part in _parts(rows, 1000)], lambda answers: _rows(answers, "pairs"))


def rank(settings: Mapping[str, Any]) -> Call:
    """Candidates ranked by click probability."""

    def read(answers: list[Any]) -> pl.DataFrame:
        (answer,) = answers
        rows = [(item.pop("probabilities"), item) for item in answer["items"]]
        return _frame([item | probabilities for probabilities, item in rows])

    return Call("/rank", [settings], read)


def events(rows: Any) -> Call:
    """Append events: a frame, a dict of columns, or a list of dicts."""
    listed = rows if isinstance(rows, list) else pl.DataFrame(rows).to_dicts()
    bodies = [{"events": [_without_nulls(row) for row in part]} for part in _parts(listed)]

    def read(answers: list[Any]) -> dict[str, Any]:
        rejected = [
            {**entry, "number": entry["number"] + number * MOST}
            for number, answer in enumerate(answers)
            for entry in answer["rejected"]
        ]
        return {"accepted": sum(answer["accepted"] for answer in answers), "rejected": rejected}

    return Call("/events", bodies, read)


def embed(texts: Iterable[str], settings: Mapping[str, Any]) -> Call:
    """Vectors ``[n, dim]`` of texts."""
    bodies = [{"input": part, "encoding_format": "base64", **settings} for part in _parts(list(texts))]

    def read(answers: list[Any]) -> Any:
        rows = [row["embedding"] for answer in answers for row in answer["data"]]
        return np.stack([np.frombuffer(base64.b64decode(row), "<f4") for row in rows])

    return Call("/v1/embeddings", bodies, read)


def texts(path: str, key: str, values: Sequence[Any], result: str, settings: Mapping[str, Any]) -> Call:
    """Any other task on texts: a result each."""
    bodies = [{key: part, **settings} for part in _parts(list(values))]
    return Call(path, bodies, lambda answers: [one for answer in answers for one in answer[result]])


def _parts(values: list[Any], most: int = MOST) -> list[list[Any]]:
    if not values:
        raise InputError("nothing is given; give one value at least.")
    return [values[start : start + most] for start in range(0, len(values), most)]


def _plain(values: Any) -> list[Any]:
    """Values of a list, Series or array as Python's own."""
    return (
        values.to_list()
        if hasattr(values, "to_list")
        else values.tolist()
        if hasattr(values, "tolist")
        else list(values)
    )


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _lists(answers: list[Any], firsts: Sequence[int]) -> pl.DataFrame:
    """One line an item, as ``Recommender.recommend`` gives it."""
    rows = []
    for answer, first in zip(answers, firsts, strict=True):
        for number, listed in enumerate(answer["lists"], 1):
            if "user_id" in listed:
                key = {"user_id": listed["user_id"]}
            else:
                key = {"query": first + listed.get("query", number)}
            rows += [
                {**key, "rank": rank, "item_id": item.pop("item_id"), **item, "source": listed["source"]}
                for rank, item in enumerate(listed["items"], 1)
            ]
    return _frame(rows)


def _similar(answers: list[Any]) -> pl.DataFrame:
    lists = [listed for answer in answers for listed in answer["lists"]]
    return _frame(
        [
            {"similar_to": listed["similar_to"], "rank": rank, **item}
            for listed in lists
            for rank, item in enumerate(listed["items"], 1)
        ]
    )


def _rows(answers: list[Any], key: str) -> pl.DataFrame:
    return _frame([row for answer in answers for row in answer[key]])


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.with_columns(pl.col("rank").cast(pl.Int32)) if "rank" in frame.columns else frame
