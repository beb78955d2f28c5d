"""Open a prepared folder: vocabulary, histories, catalogue and features, checked against its manifest."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.manifest import Manifest
from recsys_bert.clicks.vocabulary import Vocabulary, as_ids
from recsys_bert.errors import InputError

Codes = dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class ClickDataset:
    """A prepared click log.

    Args:
        folder: Where it lies.
        manifest: What was counted while it was made.
        vocabulary: Items with an embedding row.
        histories: Events of all users; ``offsets[u]`` belongs to ``user_ids[u]``.
    """

    folder: Path
    manifest: Manifest
    vocabulary: Vocabulary
    histories: Histories

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
        return {name: told["size"] for name, told in self.manifest.features.get("items", {}).items()}

    @property
    def user_feature_sizes(self) -> dict[str, int]:
        """The same for users."""
        return {name: told["size"] for name, told in self.manifest.features.get("users", {}).items()}

    @property
    def n_rows(self) -> int:
        """Catalogue rows: special ones, training items, cold items."""
        return self.manifest.counts["catalogue_rows"]

    @property
    def has_times(self) -> bool:
        """Whether times are unix seconds; otherwise they are positions in the history."""
        return self.manifest.has_times

    @property
    def fingerprint(self) -> str:
        """Equal where item rows and feature values mean the same."""
        return self.manifest.fingerprint

    def rows(self, ids: Any) -> NDArray[np.int32]:
        """Catalogue rows of ids: training items, then cold ones, then unknown rows."""
        asked = as_ids(ids, self.vocabulary.item_ids.dtype).rename("item_id")
        rows = self.vocabulary.rows(asked).copy()
        found = asked.to_frame().join(
            self.items.select("item_id", "item_row"), on="item_id", how="left", maintain_order="left"
        )
        known = found["item_row"].is_not_null().to_numpy()
        rows[known] = found["item_row"].drop_nulls().to_numpy()
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
        asked = as_ids(ids, self.user_ids.dtype, "user").rename("user_id")
        found = asked.to_frame().join(
            self.users.select("user_id", "user_row"), on="user_id", how="left", maintain_order="left"
        )
        missing = found.filter(pl.col("user_row").is_null())["user_id"]
        if len(missing):
            shown = ", ".join(map(repr, missing.head(5).to_list())) + (" …" if len(missing) > 5 else "")
            raise InputError(f"{len(missing):,} of {len(asked):,} users are not in {self.folder}: {shown}")
        return found["user_row"].to_numpy().astype(np.int64)

    def check_same(self, fingerprint: str) -> None:
        """Refuse what was trained on other rows.

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
        InputError: It is not ours, is damaged, or its files do not fit its manifest.
    """
    folder = Path(folder)
    manifest = Manifest.load(folder)
    vocabulary = Vocabulary.load(folder / "vocabulary.parquet")
    histories = Histories.load(folder / "histories.arrow")
    there = {"users": histories.n_users, "events": len(histories.items), "vocabulary_rows": vocabulary.size}
    for name, n in there.items():
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


def _features(folder: Path, told: dict[str, Any]) -> Codes:
    try:
        return {name: np.load(folder / f"{number}.npy", mmap_mode="r") for number, name in enumerate(told)}
    except (OSError, ValueError) as error:
        raise InputError(f"features in {folder} cannot be read: {error}. Run prepare again.") from error
