"""Users without events, by their features: as the users of the log who have the most of them in common.

The score of an item is its mean score over those users, which is one inner product with the mean of their vectors; so
it works with every ranker, whether or not it reads features itself.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.frames import to_frame
from recsys_bert.clicks.lineage import FIRST_VALUE, UNKNOWN_VALUE
from recsys_bert.clicks.prepare.sources import read_table
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import as_ids
from recsys_bert.errors import InputError
from recsys_bert.retrieval.keyed_queries import user_queries
from recsys_bert.retrieval.ranker import Ranker

Codes = dict[str, NDArray[np.int32]]


_MOST_USERS = 20_000  # of the log that are compared with; drawn where there are more
_CELLS = 1 << 24  # of one dense array


def profile_vectors(
    ranker: Ranker, dataset: ClickDataset, codes: Codes, queries: Queries | None = None
) -> NDArray[np.float32]:
    """Vectors ``[n, d]``: means over the users with events who share the most feature values.

    Args:
        ranker: The model.
        dataset: The log.
        codes: Of the users without events, each with a known value; see ``profile_codes``.
        queries: Histories of the users that they are compared with; None: all events of all users.
    """
    queries = user_queries(dataset).queries if queries is None else queries
    if len(queries) > _MOST_USERS:
        queries = queries[np.sort(np.random.default_rng(0).choice(len(queries), _MOST_USERS, replace=False))]
    vectors = ranker.user_vectors(queries)
    known = {name: np.asarray(dataset.user_features[name])[queries.users] for name in codes}
    table = _indicators(known, dataset.user_feature_sizes)
    mine = _indicators(codes, dataset.user_feature_sizes)
    means = np.empty((mine.shape[0], vectors.shape[1]), np.float32)
    block = max(1, _CELLS // max(len(queries), 1))
    for start in range(0, len(means), block):
        shared = (mine[start : start + block] @ table.T).toarray()
        nearest = (shared == shared.max(axis=1, keepdims=True)).astype(np.float32)
        means[start : start + block] = nearest @ vectors / nearest.sum(axis=1, keepdims=True)
    return means


def _indicators(codes: Codes, sizes: dict[str, int]) -> sparse.csr_array:
    """1 where a user has a value, ``[users, values]`` over all features."""
    parts = []
    for name, table in codes.items():
        user, column = np.nonzero(table >= FIRST_VALUE)
        shape = (len(table), sizes[name])
        parts.append(sparse.csr_array((np.ones(len(user), np.float32), (user, table[user, column])), shape=shape))
    return sparse.hstack(parts, format="csr")


def profile_codes(dataset: ClickDataset, profiles: Any, ids: pl.Series) -> tuple[Codes, NDArray[np.bool_]]:
    """Codes of user features for users of a side table.

    Args:
        dataset: The log, prepared with user features.
        profiles: Frame, or file, with ``user_id`` and the columns of the features; the first row of an id counts.
        ids: The users, of the log's type.

    Returns:
        Codes ``[n, width]`` by feature, 0 where there is none; and True on users with a value known in training.

    Raises:
        InputError: The log has no user features, or ``profiles`` lacks their columns or cannot be read.
    """
    features = dataset.manifest.features.get("users", {})
    if not features:
        raise InputError(f"{dataset.folder} was prepared without user features, so profiles cannot be read.")
    table = _table(profiles)
    if missing := [name for name in ("user_id", *features) if name not in table.columns]:
        raise InputError(
            f"the profiles have no column {missing[0]!r}; they have {', '.join(map(repr, table.columns))}."
        )
    known = pl.DataFrame({"user_id": as_ids(table["user_id"], dataset.user_ids.dtype, "user")})
    table = table.drop("user_id").with_columns(known["user_id"]).unique("user_id", keep="first")
    joined = ids.rename("user_id").to_frame().join(table, on="user_id", how="left", maintain_order="left")
    values = pl.read_parquet(dataset.folder / "user_features" / "values.parquet", glob=False)
    separator = dataset.manifest.config.get("user_features", {}).get("separator", "|")
    codes = {
        name: _codes(joined[name], values.filter(feature=name), separator if entry["multi"] else None, entry["width"])
        for name, entry in features.items()
    }
    return codes, np.any([(part >= FIRST_VALUE).any(axis=1) for part in codes.values()], axis=0)


def _table(profiles: Any) -> pl.DataFrame:
    if hasattr(profiles, "__arrow_c_stream__") or isinstance(profiles, dict | pl.LazyFrame):
        return to_frame(profiles, "profiles")
    try:
        return read_table(profiles)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"the profiles {profiles} cannot be read: {error}.") from error


def _codes(column: pl.Series, values: pl.DataFrame, separator: str | None, width: int) -> NDArray[np.int32]:
    """Codes ``[n, width]`` of one column; further values of an entry are left out."""
    if separator is not None and column.dtype == pl.String:
        column = column.str.split(separator)
    pairs = pl.DataFrame({"row": np.arange(len(column)), "value": column})
    if pairs["value"].dtype.is_nested():
        pairs = pairs.explode("value", empty_as_null=True)
    pairs = pairs.with_columns(pl.col("value").cast(pl.String).str.strip_chars()).filter(pl.col("value") != "")
    pairs = pairs.unique(maintain_order=True).with_columns(index=pl.int_range(pl.len()).over("row"))
    pairs = pairs.filter(pl.col("index") < width).join(values, on="value", how="left", maintain_order="left")
    codes = np.zeros((len(column), width), np.int32)
    codes[pairs["row"].to_numpy(), pairs["index"].to_numpy()] = pairs["code"].fill_null(UNKNOWN_VALUE).to_numpy()
    return codes
