"""Columns of impressions → rows of one flat embedding table; fitted on training impressions only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.ctr.config import FeaturesConfig
from recsys_bert.ctr.items import ItemVocabulary, by_count
from recsys_bert.ctr.layout import Field, Layout
from recsys_bert.ctr.values import as_lists, as_numbers, as_text
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

UNSEEN, MISSING, FIRST = 0, 1, 2  # rows of a categorical or multi-valued field, before its offset
NO_NUMBER, NUMBER = 0, 1  # rows of a standardised number; of a bucketed one, 1 is the lowest bucket


@dataclass(frozen=True)
class Numbers:
    """Statistics of a numeric column in training.

    Args:
        mean: Mean of the numbers that are not missing.
        std: Their standard deviation; 1 where they are all the same.
        borders: Ascending borders of buckets; None for a standardised column.
    """

    mean: float
    std: float
    borders: list[float] | None


@dataclass(frozen=True)
class EncodedFeatures:
    """Impressions as integer arrays.

    Args:
        ids: int32 ``[n, columns]``, rows of the flat table; 0 = padding of a multi-valued field.
        numbers: float32 ``[n, n_numbers]``, standardised; 1 where the number is missing.
        counts: Cells that are unseen, missing or cut, by ``field: reason``; zeros left out.
    """

    ids: NDArray[np.int32]
    numbers: NDArray[np.float32]
    counts: dict[str, int]


@dataclass(frozen=True)
class Features:
    """Vocabularies and statistics of columns.

    Args:
        layout: The fields, in order.
        values: Known values of each categorical or multi-valued field, as text; its rows from ``FIRST`` on.
        numbers: Statistics of each numeric field.
        separators: Separator of the text of each multi-valued field.
        items: Items of a history column; None without one, or where a prepared log has them.
    """

    layout: Layout
    values: Mapping[str, pl.Series]
    numbers: Mapping[str, Numbers]
    separators: Mapping[str, str]
    items: ItemVocabulary | None = None

    @staticmethod
    def fit(frame: pl.DataFrame, config: FeaturesConfig, ids: list[str]) -> "Features":
        """Fit vocabularies and statistics on training impressions.

        Args:
            frame: Training impressions.
            config: Columns by kind.
            ids: Id columns that are categorical fields as well; they come first.

        Raises:
            InputError: A numeric column holds no number.
        """
        fields: list[Field] = []
        values: dict[str, pl.Series] = {}
        numbers: dict[str, Numbers] = {}
        for name in [*ids, *(name for name in config.categorical if name not in ids)]:
            values[name] = by_count(as_text(frame[name]), config.min_count)
            fields.append(Field(name, "categorical", FIRST + len(values[name])))
        for name in config.numeric:
            n_buckets = config.n_buckets if config.numeric_as == "buckets" else None
            numbers[name] = _statistics(name, as_numbers(frame[name]), n_buckets)
            borders = numbers[name].borders
            fields.append(Field(name, "number", 2) if borders is None else Field(name, "categorical", 2 + len(borders)))
        for name in config.multi:
            lists = as_lists(frame[name], config.separator_of(name))
            values[name] = by_count(lists.explode().drop_nulls(), config.min_count)
            width = int(lists.list.len().to_numpy().max(initial=1).clip(1, config.multi_max))
            fields.append(Field(name, "multi", FIRST + len(values[name]), width))
        separators = {name: config.separator_of(name) for name in config.multi}
        return Features(Layout(tuple(fields)), values, numbers, separators)

    def encode(self, frame: pl.DataFrame) -> EncodedFeatures:
        """Turn impressions into arrays.

        Raises:
            InputError: A numeric column holds text or an infinite number.
        """
        columns: list[NDArray[np.int32]] = []
        scaled: list[NDArray[np.float32]] = []
        counts: dict[str, int] = {}
        for field, offset in zip(self.layout.fields, self.layout.offsets, strict=True):
            column = frame[field.name]
            if field.kind == "multi":
                ids, cells = self._multi(field, column, offset)
            elif field.name in self.numbers:
                ids, number, cells = self._number(field, column, offset)
                scaled += [number] if field.kind == "number" else []
            else:
                ids, cells = self._categorical(field.name, as_text(column), offset)
            columns.append(ids)
            counts |= {f"{field.name}: {reason}": count for reason, count in cells.items() if count}
        n = len(frame)
        ids = np.concatenate(columns, axis=1) if columns else np.zeros((n, 0), np.int32)
        numbers = np.stack(scaled, axis=1) if scaled else np.zeros((n, 0), np.float32)
        return EncodedFeatures(ids, numbers, counts)

    def _categorical(self, name: str, text: pl.Series, offset: int) -> tuple[NDArray[np.int32], dict[str, int]]:
        rows = _look_up(text, self.values[name])
        counts = {"unseen in training": int((rows == UNSEEN).sum()), "missing": int((rows == MISSING).sum())}
        return (rows + offset)[:, None], counts

    def _number(
        self, field: Field, column: pl.Series, offset: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], dict[str, int]]:
        known = self.numbers[field.name]
        values = as_numbers(column)
        missing = np.isnan(values)
        scaled = np.where(missing, 1.0, (values - known.mean) / known.std).astype(np.float32)
        if known.borders is None:
            rows = np.where(missing, NO_NUMBER, NUMBER)
        else:
            rows = np.where(missing, NO_NUMBER, NUMBER + np.searchsorted(known.borders, values, side="right"))
        return (rows + offset).astype(np.int32)[:, None], scaled, {"missing": int(missing.sum())}

    def _multi(self, field: Field, column: pl.Series, offset: int) -> tuple[NDArray[np.int32], dict[str, int]]:
        lists = as_lists(column, self.separators[field.name])
        lengths = lists.list.len().to_numpy().astype(np.int64)
        rows = _look_up(lists.filter(pl.Series(lengths > 0)).explode(), self.values[field.name])
        ids = np.zeros((len(column), field.width), np.int32)
        owner = np.repeat(np.arange(len(column)), lengths)
        position = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        fits = position < field.width
        ids[owner[fits], position[fits]] = rows[fits] + offset
        ids[lengths == 0, 0] = MISSING + offset
        counts = {
            "values unseen in training": int((rows == UNSEEN).sum()),
            "missing": int((lengths == 0).sum()),
            f"values beyond the first {field.width}": int((~fits).sum()),
        }
        return ids, counts

    def save(self, folder: Path) -> None:
        """Write ``features.json`` and ``features.parquet``, and ``items.parquet`` where there are items."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {
            "fields": [asdict(field) for field in self.layout.fields],
            "numbers": {name: asdict(known) for name, known in self.numbers.items()},
            "separators": dict(self.separators),
            "items": self.items is not None,
        }
        write_json(folder / "features.json", plain)
        parts = [pl.DataFrame({"field": [name] * len(known), "value": known}) for name, known in self.values.items()]
        empty = pl.DataFrame(schema={"field": pl.String, "value": pl.String})
        pl.concat([empty, *parts]).write_parquet(folder / "features.parquet")
        if self.items is not None:
            self.items.ids.to_frame("item_id").write_parquet(folder / "items.parquet")

    @staticmethod
    def load(folder: Path) -> "Features":
        """Read what ``save`` wrote.

        Raises:
            InputError: It is missing or damaged.
        """
        plain = read_json(folder / "features.json")
        try:
            table = pl.read_parquet(folder / "features.parquet", glob=False)
            fields = tuple(Field(**field) for field in plain["fields"])
            numbers = {name: Numbers(**known) for name, known in plain["numbers"].items()}
            named = [field.name for field in fields if field.name not in numbers]
            values = {name: table.filter(pl.col("field") == name)["value"] for name in named}
            items = None
            if plain["items"]:
                items = ItemVocabulary(pl.read_parquet(folder / "items.parquet", glob=False)["item_id"])
            return Features(Layout(fields), values, numbers, plain["separators"], items)
        except (OSError, pl.exceptions.PolarsError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no features of a CTR model: {error}. Train it again.") from error


def _look_up(text: pl.Series, known: pl.Series) -> NDArray[np.int32]:
    """Row of each value: missing, unseen, or its position in ``known`` from ``FIRST`` on."""
    table = pl.DataFrame({"value": known, "row": np.arange(FIRST, FIRST + len(known), dtype=np.int32)})
    joined = text.rename("value").to_frame().join(table, on="value", how="left", maintain_order="left")["row"]
    rows = joined.fill_null(UNSEEN).to_numpy().astype(np.int32)
    rows[text.is_null().to_numpy()] = MISSING
    return rows


def _statistics(name: str, values: NDArray[np.float64], n_buckets: int | None) -> Numbers:
    numbers = values[~np.isnan(values)]
    if not len(numbers):
        raise InputError(f"numeric column {name!r} holds no number in training; leave it out.")
    borders = None
    if n_buckets is not None:
        borders = np.unique(np.quantile(numbers, np.linspace(0, 1, n_buckets + 1)[1:-1])).tolist()
    return Numbers(float(numbers.mean()), float(numbers.std()) or 1.0, borders)
