"""Ready vectors of items or users: columns of a side table, or files of their own."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.prepare.ids import index_in
from recsys_bert.clicks.prepare.marks import LINE, RAGGED
from recsys_bert.clicks.prepare.nested import is_written_list, written_list
from recsys_bert.clicks.prepare.scaling import Scaling
from recsys_bert.clicks.prepare.side_tables import SideTable, as_log_ids
from recsys_bert.clicks.prepare.sources import open_source, whole_table
from recsys_bert.clicks.prepare.table_config import MISSING
from recsys_bert.errors import InputError

Vectors = dict[str, "VectorTable"]
"""Vectors by feature."""

_SAMPLE = 1_000


@dataclass(frozen=True)
class VectorTable:
    """Vectors of ids, each id once.

    Args:
        ids: Of the log's type.
        values: float32 ``[n, width]``, finite.
        counts: Rows not used, by reason.
    """

    ids: pl.Series
    values: NDArray[np.float32]
    counts: dict[str, int]

    @property
    def width(self) -> int:
        """Numbers a vector."""
        return int(self.values.shape[1])

    def rows(self, ids: pl.Series) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vector of each id, ``[len(ids), width]``, zeros where it has none, and True where it has one."""
        index = index_in(ids, self.ids)
        has = index.is_not_null().to_numpy()
        values = np.zeros((len(ids), self.width), np.float32)
        values[has] = self.values[index.drop_nulls().to_numpy()]
        return values, has

    def with_known(self, known: "VectorTable", name: str) -> "VectorTable":
        """These vectors, then those of other ids in ``known``.

        Raises:
            InputError: They are of another width; ``name`` is the feature.
        """
        if self.width != known.width:
            raise InputError(f"vectors of {name!r} are {self.width} wide, but those of the folder {known.width}.")
        rest = ~known.ids.is_in(self.ids.implode())
        ids = pl.concat([self.ids, known.ids.filter(rest).rename(self.ids.name)])
        return VectorTable(ids, np.concatenate([self.values, known.values[rest.to_numpy()]]), self.counts)


@dataclass(frozen=True)
class Side:
    """Side data of items or of users.

    Args:
        config: Settings of the features.
        table: The side table, if there is one.
        vectors: Vectors by feature.
    """

    config: SideFeaturesConfig
    table: SideTable | None = None
    vectors: Vectors = field(default_factory=dict)


def with_vectors(config: SideFeaturesConfig, side: SideTable | None, log_ids: pl.Series, log_name: str) -> Side:
    """Side data with the vectors that the settings name, whose columns leave the table.

    Args:
        config: Settings of the features.
        side: The side table.
        log_ids: Ids of the log, each once.
        log_name: Id column of the log.

    Raises:
        InputError: A file or a column cannot be used.
    """
    vectors = read_vectors(config, side, log_ids, log_name)
    if side is not None:
        side = replace(side, table=side.table.drop(config.vector_columns))
    return Side(config, side, vectors)


def stored_vectors(dataset: ClickDataset, role: str) -> Vectors:
    """Vectors of a prepared folder, as they were read; ``items`` or ``users``."""
    tables = dataset.item_dense if role == "items" else dataset.user_dense
    ids = dataset.items["item_id"] if role == "items" else dataset.user_ids
    first = dataset.vocabulary.first_item if role == "items" else 0
    vectors = {}
    for name, entry in dataset.manifest.dense.get(role, {}).items():
        scaling, table = Scaling.of_text(entry["scaling"]), tables[name]
        if scaling.kind == "vectors":
            has = np.asarray(table.has[first:])
            raw = np.asarray(table.values[first:])[has] * np.float32(scaling.std)
            counts = dict.fromkeys(("without_usable_id", "repeated_id", "missing", "of_another_width", "not_finite"), 0)
            vectors[name] = VectorTable(ids.filter(pl.Series(has)), raw, counts)
    return vectors


def read_vectors(config: SideFeaturesConfig, side: SideTable | None, log_ids: pl.Series, log_name: str) -> Vectors:
    """Read the vectors that a role's settings name.

    Args:
        config: Settings of the features.
        side: The side table, for vectors in its columns.
        log_ids: Ids of the log, each once.
        log_name: Id column of the log.

    Raises:
        InputError: A file or a column cannot be used.
    """
    files = {name: read_vector_file(name, file, config, log_ids, log_name) for name, file in config.files.items()}
    columns = {}
    for name in config.vector_columns:
        assert side is not None
        values, rows, counts = _finite(side.table[name], side.title(name), config, side.ids)
        columns[name] = VectorTable(side.ids.gather(pl.Series(rows)), values, counts)
    return {name: files.get(name) or columns[name] for name in config.vector_names}


def read_vector_file(
    name: str, file: str, config: SideFeaturesConfig, log_ids: pl.Series, log_name: str
) -> VectorTable:
    """Read a file of vectors: ``.npy`` with the ids in ``NAME_ids.csv`` beside it, or a table.

    A table has an id column and either one column of lists or columns of numbers.

    Args:
        name: The feature.
        file: The file.
        config: ``id`` and ``bad_numbers`` count.
        log_ids: Ids of the log.
        log_name: Its id column.

    Raises:
        InputError: It is missing or damaged, has no vectors, or ids of another type.
    """
    path = Path(file)
    table = _npy_table(path) if path.suffix == ".npy" else _table(file)
    return vectors_of_table(table, name, path.name, config, log_ids, log_name)


def vectors_of_table(
    table: pl.DataFrame, name: str, title: str, config: SideFeaturesConfig, log_ids: pl.Series, log_name: str
) -> VectorTable:
    """Vectors of a table with ids; see ``read_vector_file``.

    Args:
        table: The table.
        name: The feature.
        title: Names the table in messages.
        config: ``id`` and ``bad_numbers`` count.
        log_ids: Ids of the log.
        log_name: Its id column.

    Raises:
        InputError: It has no vectors, or ids of another type.
    """
    key = next((one for one in (config.id, log_name) if one in table.columns), table.columns[0])
    ids = as_log_ids(table[key], log_ids.dtype, MISSING)
    if table.height and ids.null_count() == table.height:
        sort = "text" if log_ids.dtype == pl.String else "integers"
        raise InputError(f"no id in column {key!r} of {title} is of the log's type ({sort}).")
    first = (ids.is_not_null() & ids.is_first_distinct()).to_numpy()
    values, rows, counts = _finite(_one_column(table.drop(key), name, title), title, config, table[key])
    usable = first[rows]
    counts = {"without_usable_id": ids.null_count(), "repeated_id": int((~first).sum()) - ids.null_count(), **counts}
    unique = ids.gather(pl.Series(rows[usable]))
    if len(unique) and not unique.is_in(log_ids.implode()).any():
        raise InputError(
            f"no id of {title} is in the log: column {key!r} has ids such as {unique[0]!r}, the log {log_ids[0]!r}."
        )
    return VectorTable(unique, values[usable], counts)


def _npy_table(path: Path) -> pl.DataFrame:
    """Ids and vectors of an array and the file of ids beside it, as ``export-vectors`` writes them."""
    ids = path.with_name(f"{path.stem}_ids.csv")
    for file in (path, ids):
        if not file.is_file():
            raise InputError(f"{file} is missing. Vectors as .npy take their ids from {ids.name} beside them.")
    try:
        values, table = np.load(path, mmap_mode="r"), pl.read_csv(ids)
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read with {ids.name}: {error}.") from error
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.shape[1]:
        raise InputError(f"{path} holds {values.dtype} {list(values.shape)}; vectors are numbers [n, width].")
    if len(values) != table.height:
        raise InputError(f"{path} has {len(values):,} vectors, {ids.name} {table.height:,} ids (and a header).")
    return table.select(pl.first(), pl.Series("vector", np.asarray(values, np.float32)))


def _table(file: str) -> pl.DataFrame:
    source = open_source(file, "vectors", group="item_table")
    try:
        table = whole_table(source.parts()).collect()
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise source.unreadable(error) from error
    return table.drop(RAGGED, LINE, strict=False)


def _one_column(table: pl.DataFrame, name: str, title: str) -> pl.Series:
    """The vectors of a table without its ids as one column of lists."""
    lists = [one for one in table.columns if _holds_lists(table[one])]
    best = next((one for one in (name, "vector") if one in lists), lists[0] if len(lists) == 1 else None)
    if best is not None:
        return table[best]
    numbers = [one for one in table.columns if table[one].dtype.is_numeric()]
    if lists or not numbers or len(numbers) < table.width:
        columns = ", ".join(f"{one} ({table[one].dtype})" for one in table.columns) or "none"
        raise InputError(
            f"{title} holds no vectors besides its ids: its other columns are {columns}. It takes one column of lists "
            f"of numbers, called {name!r} or 'vector' where there are several, or columns of numbers alone."
        )
    return table.select(pl.concat_list(pl.col(numbers).cast(pl.Float32)).alias(name))[name]


def _holds_lists(column: pl.Series) -> bool:
    if isinstance(column.dtype, pl.List | pl.Array):
        return True
    return column.dtype == pl.String and is_written_list(column.head(_SAMPLE))


def _finite(
    column: pl.Series, title: str, config: SideFeaturesConfig, ids: pl.Series
) -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, int]]:
    """Vectors of the commonest width without NaN, the rows that they come from, and counts of the others.

    Raises:
        InputError: It holds no lists of numbers; or some are of another width or not finite, and those are an error.
    """
    lists = _lists(column, title)
    lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    missing = lengths == 0
    if missing.all():
        raise InputError(f"{title} holds no vector at all. Leave it out.")
    width = int(np.bincount(lengths[~missing]).argmax())
    rows, odd = np.flatnonzero(lengths == width), np.flatnonzero(~missing & (lengths != width))
    flat = lists.gather(pl.Series(rows)).explode().fill_null(float("nan")).to_numpy()
    values = np.ascontiguousarray(flat, np.float32).reshape(-1, width)
    finite = np.isfinite(values).all(axis=1)
    bad = np.concatenate([odd, rows[~finite]])
    if len(bad) and config.bad_numbers == "error":
        raise InputError(
            f"{title}: {len(odd):,} vectors have not the width {width} of most, {int((~finite).sum()):,} hold NaN, "
            f"text or an infinite number; one is that of id {ids[int(bad[0])]!r}. Correct them, or set bad_numbers to "
            "'missing', which counts them."
        )
    counts = {"missing": int(missing.sum()), "of_another_width": len(odd), "not_finite": int((~finite).sum())}
    return values[finite], rows[finite], counts


def _lists(column: pl.Series, title: str) -> pl.Series:
    """Lists of float32, null where something else stands in them."""
    if column.dtype == pl.String and _holds_lists(column):
        column = column.to_frame("text").select(written_list(pl.col("text")).alias("text"))["text"]
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if not isinstance(column.dtype, pl.List) or column.dtype.inner.is_nested():
        raise InputError(f"{title} holds {column.dtype}; vectors are lists of numbers, as in [0.1, 0.2].")
    return column.cast(pl.List(pl.Float32), strict=False)
