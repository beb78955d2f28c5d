"""Put the items of a trained run into a store, with the catalogue's columns and texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.errors import InputError, unknown_name

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.stores.vector_store import VectorStore

_CHUNK = 2_000


def store_items(
    model: "Recommender",
    place: Path | str,
    kind: str = "faiss",
    *,
    name: str = "items",
    columns: Sequence[str] | None = None,
    texts: Sequence[str] | None = None,
    metric: Literal["ip", "cosine"] = "ip",
) -> "VectorStore":
    """Put the vectors of a run's items into a store; items that are there already are replaced.

    The inner product of a user's vector and an item's is the score of the model.

    Args:
        model: A trained run with its log.
        place: Folder or address; see ``open_store``.
        kind: System of the store.
        name: Name of the store within a database.
        columns: Side columns of the catalogue, and ``count``, the item's training events; None takes all that a store
            can hold.
        texts: Side columns whose values, joined, are searched by words; None takes the title, where there is one.
        metric: ``ip``, or ``cosine``, by which similar items are nearest.

    Returns:
        The store, open.

    Raises:
        InputError: Unknown columns, a store of other vectors, or one that cannot be written.
    """
    from recsys_bert.retrieval.ranker_index import index_source
    from recsys_bert.stores.opening import open_store

    types = column_types(model.dataset, columns)
    text_columns = _text_columns(model.dataset, texts)
    vectors = model.item_vectors()
    ids, matrix = vectors["item_id"], vectors["vector"].to_numpy().reshape(vectors.height, -1)
    source = {} if model.run is None else index_source(model.run, model.dataset)
    catalogue = _values(model.dataset, types)[: len(ids)]  # items without events may have no vector
    joined = _joined(model.dataset, text_columns)[: len(ids)]
    store = open_store(
        place,
        kind,
        name=name,
        dim=matrix.shape[1],
        metric=metric,
        ids="int" if ids.dtype.is_integer() else "str",
        columns=types,
        source=source,
    )
    try:
        if source and store.about.source.get("weights", source["weights"]) != source["weights"]:
            raise InputError(
                f"the store at {store.place} holds vectors of another run ({store.about.source.get('run')}). Choose "
                "another place or name."
            )
        for start in range(0, len(ids), _CHUNK):
            part = slice(start, start + _CHUNK)
            store.put(ids[part].to_list(), matrix[part], catalogue[part], joined[part])
        store.persist()
    except BaseException:
        store.close()
        raise
    return store


def column_types(dataset: "ClickDataset", names: Sequence[str] | None = None) -> dict[str, str]:
    """Types of a store's columns for the side columns of a catalogue, and ``count``.

    Args:
        dataset: The log.
        names: Columns; None takes all that a store can hold.

    Raises:
        InputError: Unknown columns, or values that a store cannot hold.
    """
    from recsys_bert.stores.columns import MAX_COLUMNS

    schema = {name: dtype for name, dtype in dataset.items.schema.items() if name not in ("item_row", "item_id", "id")}
    multi = {name for name, value in dataset.manifest.features.get("items", {}).items() if value.get("multi")}
    types = {name: "tags" if name in multi else _type(dtype) for name, dtype in schema.items()}
    if names is None:
        return dict([(name, kind) for name, kind in types.items() if kind is not None][:MAX_COLUMNS])
    chosen_types: dict[str, str] = {}
    for name in names:
        if name not in types:
            raise unknown_name("side column of the items", name, types)
        kind = types[name]
        if kind is None:
            raise InputError(f"column {name!r} of the items holds {schema[name]}, which a store cannot hold.")
        chosen_types[name] = kind
    return chosen_types


def _type(dtype: Any) -> str | None:
    import polars as pl

    if dtype == pl.Boolean:
        return "bool"
    if dtype.is_integer():
        return "int"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    if dtype == pl.List(pl.String) or dtype == pl.Array(pl.String, 1):
        return "tags"
    return "str" if dtype in (pl.String, pl.Categorical, pl.Enum) else None


def _text_columns(dataset: "ClickDataset", names: Sequence[str] | None) -> list[str]:
    from recsys_bert.retrieval.list_frames import title_column

    if names is None:
        title = title_column(dataset)
        return [] if title is None else [title]
    known = [name for name in dataset.items.columns if name not in ("item_row", "item_id", "count")]
    for name in names:
        if name not in known:
            raise unknown_name("side column of the items", name, known)
    return list(names)


def column_values(dataset: "ClickDataset", name: str, kind: str) -> "pl.Series":
    """Values of a column by item, of a type of ``column_types``; NaN and infinite numbers are missing ones."""
    import polars as pl

    column = dataset.items[name]
    if kind == "tags" and column.dtype == pl.String:
        return column.str.split(dataset.manifest.config.get("item_features", {}).get("separator", "|"))
    if kind == "float":
        column = column.cast(pl.Float64)
        return column.to_frame().select(pl.when(pl.col(name).is_finite()).then(pl.col(name)))[name]
    return column.cast(pl.String) if kind == "str" else column


def _values(dataset: "ClickDataset", types: dict[str, str]) -> list[dict[str, Any]]:
    """Columns of all items, one dict an item."""
    import polars as pl

    if not types:
        return [{} for _ in range(dataset.items.height)]
    return pl.DataFrame([column_values(dataset, name, kind) for name, kind in types.items()]).to_dicts()


def _joined(dataset: "ClickDataset", names: Sequence[str]) -> list[str | None]:
    """Text of each item: the values of columns, joined by blanks; None where all are missing."""
    import polars as pl

    if not names:
        return [None] * dataset.items.height
    parts = [pl.col(name).cast(pl.String) if name else pl.lit("") for name in names]
    text = dataset.items.select(text=pl.concat_str(parts, separator=" ", ignore_nulls=True))["text"]
    return [value or None for value in text.to_list()]
