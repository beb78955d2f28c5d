"""Prepared click log: vocabulary, histories, catalogue and features, checked against its manifest."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.manifest import Manifest, count_lines, count_table
from recsys_bert.clicks.vocabulary import Vocabulary, as_ids
from recsys_bert.errors import InputError

Codes = dict[str, NDArray[np.int32]]


@dataclass(frozen=True, repr=False)
class ClickDataset:
    """A prepared click log.

    Args:
        folder: Its folder on disk.
        manifest: Counts, split and settings of its preparation.
        vocabulary: Items with an embedding row.
        histories: Events of all users; ``offsets[u]`` belongs to ``user_ids[u]``.
    """

    folder: Path
    manifest: Manifest
    vocabulary: Vocabulary
    histories: Histories

    def __repr__(self) -> str:
        features = [f"{role} features {', '.join(names)}" for role, names in self._feature_names().items()]
        return "\n".join([f"ClickDataset {self.folder}", *count_lines(self.manifest), *features])

    def _repr_html_(self) -> str:
        rows = {**count_table(self.manifest), "folder": str(self.folder)}
        rows |= {f"{role} features": ", ".join(names) for role, names in self._feature_names().items()}
        cells = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items()
        )
        return f"<table><caption>ClickDataset</caption>{cells}</table>"

    def _feature_names(self) -> dict[str, list[str]]:
        sizes = {"item": self.item_feature_sizes, "user": self.user_feature_sizes}
        return {role: list(names) for role, names in sizes.items() if names}

    @cached_property
    def items(self) -> pl.DataFrame:
        """Catalogue in order of rows: ``item_row``, ``item_id``, ``count`` (training), then the side table's columns.

        It begins at ``vocabulary.first_item``; rows from ``vocabulary.size`` on are cold: no training event.
        """
        return _table(self.folder / "items.parquet")

    @cached_property
    def users(self) -> pl.DataFrame:
        """``user_row``, ``user_id``, then the side table's columns, in order of rows."""
        return _table(self.folder / "users.parquet")

    @property
    def user_ids(self) -> pl.Series:
        """Id of each user row."""
        return self.users["user_id"]

    @cached_property
    def item_features(self) -> Codes:
        """Codes of each catalogue row by feature, ``[n_rows, width]``; 0 is none, 1 a value unknown in training."""
        return _features(self.folder / "item_features", self.manifest.features.get("items", {}))

    @cached_property
    def user_features(self) -> Codes:
        """The same for users, ``[n_users, width]``."""
        return _features(self.folder / "user_features", self.manifest.features.get("users", {}))

    @property
    def item_feature_sizes(self) -> dict[str, int]:
        """Number of codes of each feature, with 0 and 1."""
        return {name: entry["size"] for name, entry in self.manifest.features.get("items", {}).items()}

    @property
    def user_feature_sizes(self) -> dict[str, int]:
        """The same for users."""
        return {name: entry["size"] for name, entry in self.manifest.features.get("users", {}).items()}

    @property
    def n_rows(self) -> int:
        """Catalogue rows: special ones, training items, cold items."""
        return self.manifest.counts["catalogue_rows"]

    @property
    def has_times(self) -> bool:
        """True if times are unix seconds; otherwise they are positions in the history."""
        return self.manifest.has_times

    @property
    def fingerprint(self) -> str:
        """Hash of the meaning of item rows and feature values."""
        return self.manifest.fingerprint

    def rows(self, ids: Any) -> NDArray[np.int32]:
        """Catalogue rows of ids: training items, then cold ones, then unknown rows."""
        item_ids = as_ids(ids, self.vocabulary.item_ids.dtype).rename("item_id")
        rows = self.vocabulary.rows(item_ids).copy()
        joined = item_ids.to_frame().join(
            self.items.select("item_id", "item_row"), on="item_id", how="left", maintain_order="left"
        )
        known = joined["item_row"].is_not_null().to_numpy()
        rows[known] = joined["item_row"].drop_nulls().to_numpy()
        return rows

    def ids(self, rows: Any) -> pl.Series:
        """Ids of catalogue rows; null for special ones and for -1."""
        index = np.asarray(rows, np.int64) - self.vocabulary.first_item
        return (
            self.items["item_id"]
            .gather(pl.Series(np.where(index < 0, 0, index)))
            .to_frame()
            .select(pl.when(pl.Series(index >= 0)).then("item_id"))["item_id"]
        )

    def user_rows(self, ids: Any) -> NDArray[np.int64]:
        """Rows of users.

        Raises:
            InputError: Some are not in the log.
        """
        user_ids = as_ids(ids, self.user_ids.dtype, "user").rename("user_id")
        joined = user_ids.to_frame().join(
            self.users.select("user_id", "user_row"), on="user_id", how="left", maintain_order="left"
        )
        missing = joined.filter(pl.col("user_row").is_null())["user_id"]
        if len(missing):
            listed = ", ".join(map(repr, missing.head(5).to_list())) + (" …" if len(missing) > 5 else "")
            raise InputError(f"{len(missing):,} of {len(user_ids):,} users are not in {self.folder}: {listed}")
        return joined["user_row"].to_numpy().astype(np.int64)

    def history(self, user: Any) -> list[Any]:
        """Item ids of a user's events, oldest first, held-out ones included; None for items without a row.

        Raises:
            InputError: The user is not in the log.
        """
        row = int(self.user_rows([user])[0])
        start, stop = self.histories.offsets[row : row + 2]
        return self.ids(self.histories.items[start:stop]).to_list()

    def check_same(self, fingerprint: str) -> None:
        """Refuse a run that was trained on other rows.

        Raises:
            InputError: ``fingerprint`` is not the one of this folder.
        """
        if fingerprint != self.fingerprint:
            raise InputError(
                f"this run was trained on the vocabulary {fingerprint}, but {self.folder} has {self.fingerprint}:"
                " its item rows or feature values mean something else. Use the folder that the run was trained on."
            )


def open_dataset(folder: Path) -> ClickDataset:
    """Open a folder that prepare made.

    Raises:
        InputError: prepare did not make it, it is damaged, or its files do not fit its manifest.
    """
    folder = Path(folder)
    manifest = Manifest.load(folder)
    vocabulary = Vocabulary.load(folder / "vocabulary.parquet")
    histories = Histories.load(folder / "histories.arrow")
    counts = {"users": histories.n_users, "events": len(histories.items), "vocabulary_rows": vocabulary.size}
    for name, n in counts.items():
        if manifest.counts.get(name) != n:
            raise InputError(
                f"{folder} does not fit its manifest: it has {n:,} {name}, not {manifest.counts.get(name)}."
                " Files of two runs were mixed, or one is damaged; run prepare again."
            )
    return ClickDataset(folder, manifest, vocabulary, histories)


def _table(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read: {error}. Run prepare again.") from error


def _features(folder: Path, names: Iterable[str]) -> Codes:
    try:
        return {name: np.load(folder / f"{number}.npy", mmap_mode="r") for number, name in enumerate(names)}
    except (OSError, ValueError) as error:
        raise InputError(f"features in {folder} cannot be read: {error}. Run prepare again.") from error
