"""Columns of impressions → rows of one flat embedding table; fitted on training impressions only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.ctr.config import FeaturesConfig
from recsys_bert.ctr.layout import Field, Layout
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

WHOLE = r"^(-?\d+)\.0+$"  # an integer written as a float
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
        separator: Cuts the text of multi-valued columns.
    """

    layout: Layout
    values: Mapping[str, pl.Series]
    numbers: Mapping[str, Numbers]
    separator: str

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
            values[name] = _vocabulary(as_text(frame[name]), config.min_count)
            fields.append(Field(name, "categorical", FIRST + len(values[name])))
        for name in config.numeric:
            n_buckets = config.n_buckets if config.numeric_as == "buckets" else None
            numbers[name] = _statistics(name, as_numbers(frame[name]), n_buckets)
            borders = numbers[name].borders
            fields.append(Field(name, "number", 2) if borders is None else Field(name, "categorical", 2 + len(borders)))
        for name in config.multi:
            lists = as_lists(frame[name], config.separator)
            values[name] = _vocabulary(lists.explode().drop_nulls(), config.min_count)
            width = int(lists.list.len().to_numpy().max(initial=1).clip(1, config.multi_max))
            fields.append(Field(name, "multi", FIRST + len(values[name]), width))
        return Features(Layout(tuple(fields)), values, numbers, config.separator)

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
        lists = as_lists(column, self.separator)
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
        """Write ``features.json`` and ``features.parquet``."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {
            "fields": [asdict(field) for field in self.layout.fields],
            "numbers": {name: asdict(known) for name, known in self.numbers.items()},
            "separator": self.separator,
        }
        write_json(folder / "features.json", plain)
        parts = [pl.DataFrame({"field": [name] * len(known), "value": known}) for name, known in self.values.items()]
        empty = pl.DataFrame(schema={"field": pl.String, "value": pl.String})
        pl.concat([empty, *parts]).write_parquet(folder / "features.parquet")

    @staticmethod
    def load(folder: Path) -> "Features":
        """Read what ``save`` wrote.

        Raises:
            InputError: It is missing or damaged.
        """
        plain = read_json(folder / "features.json")
        try:
            table = pl.read_parquet(folder / "features.parquet")
            fields = tuple(Field(**field) for field in plain["fields"])
            numbers = {name: Numbers(**known) for name, known in plain["numbers"].items()}
            named = [field.name for field in fields if field.name not in numbers]
            values = {name: table.filter(pl.col("field") == name)["value"] for name in named}
            return Features(Layout(fields), values, numbers, plain["separator"])
        except (OSError, pl.exceptions.PolarsError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no features of a CTR model: {error}. Train it again.") from error


def as_text(column: pl.Series) -> pl.Series:
    """Values as text: 3, 3.0 and "3" are the same, whatever the column's type; empty text is missing.

    Raises:
        InputError: The column holds lists, or another type that has no text.
    """
    is_float = column.dtype.is_float()
    advice = "name lists under features.multi, and convert other types"
    text = _cast(column.fill_nan(None) if is_float else column, pl.String(), advice)
    if is_float:
        integers = column.cast(pl.Int64, strict=False)  # null for what int64 cannot hold
        text = integers.cast(pl.String).zip_with((integers == column).fill_null(False), text)
    else:
        text = text.str.replace(WHOLE, "$1")
    return text.set((text == "").fill_null(False), None)


def as_numbers(column: pl.Series) -> NDArray[np.float64]:
    """Numbers as float64 with NaN for missing ones.

    Raises:
        InputError: Text that is no number, an infinite number, or a column of lists.
    """
    kind = column.dtype
    text = column if kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean else as_text(column)
    numbers = text.cast(pl.Float64, strict=False)
    odd = (numbers.is_null() & text.is_not_null()) | numbers.is_infinite().fill_null(False)
    if bad := int(odd.sum()):
        row = int(odd.arg_max() or 0)
        raise InputError(
            f"numeric column {column.name!r}, row {row + 1}: {column[row]!r} is not a finite number; {bad} such rows "
            "in all. Correct them, or name the column under features.categorical."
        )
    return numbers.fill_null(float("nan")).to_numpy()


def as_lists(column: pl.Series, separator: str) -> pl.Series:
    """Lists of text as ``as_text`` makes it, without empty values; a missing cell is an empty list.

    Raises:
        InputError: Lists within lists, or a type that has no text.
    """
    lists = column if isinstance(column.dtype, pl.List | pl.Array) else as_text(column).str.split(separator)
    values = pl.element().filter(pl.element().is_not_null() & (pl.element() != "")).str.replace(WHOLE, "$1")
    return _cast(lists, pl.List(pl.String), "convert it to lists of text").fill_null([]).list.eval(values)


def _cast(column: pl.Series, kind: pl.DataType, advice: str) -> pl.Series:
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"column {column.name!r} is of type {column.dtype}, which is not read here; {advice}."
        ) from error


def _vocabulary(text: pl.Series, min_count: int) -> pl.Series:
    """Values by decreasing count, ties in their own order."""
    counts = text.drop_nulls().rename("value").value_counts(name="n")
    return counts.filter(pl.col("n") >= min_count).sort("n", "value", descending=[True, False])["value"]


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
