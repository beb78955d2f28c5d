"""Prepared click log: vocabulary, histories, catalogue and features, checked against its manifest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.checksums import check_intact
from recsys_bert.clicks.added_items import below
from recsys_bert.clicks.dense import Dense, DenseSource, padded, read_dense
from recsys_bert.clicks.feature_files import Codes, known_codes, read_codes, read_table, read_values
from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.lineage import (
    DENSE,
    FIRST_VALUE,
    ROLES,
    Basis,
    Values,
    VocabularyState,
    contents_of,
    event_values,
    is_proved,
    run_basis,
    save_lineage,
    scalings,
    values_at,
)
from recsys_bert.clicks.manifest import NAME, Manifest, count_lines, count_table
from recsys_bert.clicks.vocabulary import Vocabulary, as_ids
from recsys_bert.errors import InputError


@dataclass(frozen=True, repr=False)
class ClickDataset:
    """A prepared click log.

    Args:
        folder: Its folder on disk.
        manifest: Counts, split and settings of its preparation.
        vocabulary: Items with an embedding row.
        histories: Events of all users; ``offsets[u]`` belongs to ``user_ids[u]``.
        grown: The log itself, where this is what an earlier state of its vocabulary knows of it; see ``known_to``.
        added: Items that no event is of, in the order of their rows, which are the last ones; see ``with_items``.
        added_dense: Dense features of items that are not in the folder, as those of their texts; see ``with_dense``.
    """

    folder: Path
    manifest: Manifest
    vocabulary: Vocabulary
    histories: Histories
    grown: "ClickDataset | None" = None
    added: pl.DataFrame | None = None
    added_dense: Mapping[str, DenseSource] = field(default_factory=dict)

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
        names = {
            role: [*self.manifest.features.get(f"{role}s", {}), *self.manifest.dense.get(f"{role}s", {})]
            for role in ("item", "user")
        }
        return {role: features for role, features in names.items() if features}

    @cached_property
    def items(self) -> pl.DataFrame:
        """Catalogue in order of rows: ``item_row``, ``item_id``, ``count`` (training), then the side table's columns.

        It begins at ``vocabulary.first_item``; rows from ``vocabulary.size`` on are cold: no training event.
        """
        if self.grown is not None:
            return self.grown.items
        items = read_table(self.folder / "items.parquet")
        return items if self.added is None else below(items, self.added)

    @cached_property
    def users(self) -> pl.DataFrame:
        """``user_row``, ``user_id``, then the side table's columns, in order of rows."""
        return read_table(self.folder / "users.parquet")

    @property
    def user_ids(self) -> pl.Series:
        """Id of each user row."""
        return self.users["user_id"]

    @cached_property
    def item_features(self) -> Codes:
        """Codes of each catalogue row by feature, ``[n_rows, width]``; 0 is none, 1 a value unknown in training."""
        if self.grown is not None:
            return known_codes(self.grown.item_features, self.item_feature_sizes)
        codes = read_codes(self.folder / "item_features", self.manifest.features.get("items", {}))
        if self.added is None:
            return codes
        return {name: np.pad(table, ((0, self.n_rows - len(table)), (0, 0))) for name, table in codes.items()}

    @cached_property
    def user_features(self) -> Codes:
        """The same for users, ``[n_users, width]``."""
        if self.grown is not None:
            return known_codes(self.grown.user_features, self.user_feature_sizes)
        return read_codes(self.folder / "user_features", self.manifest.features.get("users", {}))

    @property
    def item_feature_sizes(self) -> dict[str, int]:
        """Number of codes of each feature, with 0 and 1."""
        return {name: entry["size"] for name, entry in self.manifest.features.get("items", {}).items()}

    @property
    def user_feature_sizes(self) -> dict[str, int]:
        """The same for users."""
        return {name: entry["size"] for name, entry in self.manifest.features.get("users", {}).items()}

    @cached_property
    def item_dense(self) -> Dense:
        """Numbers and vectors of each catalogue row by feature; they stay on disk."""
        return self._dense("items") | {
            name: padded(source.table, self.n_rows) for name, source in self.added_dense.items()
        }

    @cached_property
    def user_dense(self) -> Dense:
        """The same for users."""
        return self._dense("users")

    def with_dense(self, name: str, source: DenseSource) -> "ClickDataset":
        """The log with one more dense feature of items.

        Raises:
            InputError: It has a feature of this name.
        """
        if name in self.item_features or name in self.item_dense:
            raise InputError(
                f"{self.folder} has an item feature {name!r} of its own, which would hide the one that is added. "
                "Prepare it with another name."
            )
        return replace(self, added_dense={**self.added_dense, name: source})

    def _dense(self, role: str) -> Dense:
        names = self.manifest.dense.get(role, {})
        if self.grown is not None:
            tables = self.grown._dense(role)
            return {name: tables[name] for name in names}
        tables = read_dense(self.folder / DENSE[role], names)
        n_rows = self.n_rows if role == "items" else self.histories.n_users
        return {name: padded(table, n_rows) for name, table in tables.items()}

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
        """Hash of the meaning of item rows, feature values, and numbers and vectors."""
        return self.manifest.fingerprint

    @property
    def event_types(self) -> list[str]:
        """Event types in the order of their codes, which begin at ``FIRST_VALUE``; empty if the log has none."""
        return self.manifest.event_types

    def event_type_codes(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Codes of event types.

        Raises:
            InputError: The log has no such type.
        """
        known = {name: code for code, name in enumerate(self.event_types, FIRST_VALUE)}
        if missing := [name for name in names if name not in known]:
            types = ", ".join(map(repr, known)) or "none: name their column with --log.event when preparing it"
            raise InputError(f"{self.folder} has no event type {missing[0]!r}; it has {types}.")
        return np.array([known[name] for name in names], np.int64)

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

    @cached_property
    def feature_values(self) -> Values:
        """Values of the features of items and of users, in the order of their codes."""
        if self.grown is not None:
            return values_at(self.grown.feature_values, self.states[-1])
        features = self.manifest.features
        values = {role: read_values(self.folder / f"{role[:-1]}_features", features.get(role, {})) for role in ROLES}
        return values | event_values(self.event_types) | scalings(self.manifest.dense)

    @cached_property
    def states(self) -> list[VocabularyState]:
        """States of the vocabulary: those that it grew from, oldest first, then its own."""
        if self.grown is not None:
            fingerprints = [state.fingerprint for state in self.grown.states]
            return self.grown.states[: fingerprints.index(self.fingerprint) + 1]
        earlier = [VocabularyState(**state) for state in self.manifest.growth.get("states", [])]
        sizes = self.manifest.sizes()
        own = VocabularyState(
            fingerprint=self.fingerprint,
            rows=self.vocabulary.size,
            sizes=sizes,
            folder=self.folder.name,
            contents=contents_of(self.manifest.dense),
        )
        return [*(state for state in earlier if state.fingerprint != own.fingerprint), own]

    @property
    def n_new_items(self) -> int:
        """Items with training events that came after this state of the vocabulary; 0 for the log itself."""
        return 0 if self.grown is None else self.grown.vocabulary.size - self.vocabulary.size

    def known_to(self, fingerprint: str) -> "ClickDataset":
        """The log as a run knows it: items and feature values that came later are cold.

        Args:
            fingerprint: Of the vocabulary that the run was trained on.

        Returns:
            The log itself, or a view on it where its vocabulary grew from that of the run.

        Raises:
            InputError: The vocabulary is another one.
        """
        if fingerprint == self.fingerprint:
            return self
        state = next((state for state in self.states if state.fingerprint == fingerprint), None)
        if state is None or not is_proved(state, self.vocabulary, self.feature_values):
            raise InputError(
                f"this run was trained on the vocabulary {fingerprint}, but {self.folder} has {self.fingerprint},"
                " which did not grow from it: item rows or feature values mean something else. Use the folder that the"
                " run was trained on, or prepare this log with --vocabulary.of and that folder or the run."
            )
        manifest = self.manifest.at(state, self.vocabulary.first_item)
        return replace(self, manifest=manifest, vocabulary=self.vocabulary.head(state.rows), grown=self.grown or self)

    def with_items(self, added: pl.DataFrame) -> "ClickDataset":
        """The log with further items in its catalogue: their rows follow the others, and no event is of them.

        Args:
            added: ``item_id``, none of them in the catalogue, and columns of ``items``, of their types.
        """
        grown = None if self.grown is None else self.grown.with_items(added)
        frames = [frame for frame in (self.added, added) if frame is not None]
        counts = self.manifest.counts | {"catalogue_rows": self.n_rows + added.height}
        counts["cold_items"] = counts.get("cold_items", 0) + added.height
        manifest = replace(self.manifest, counts=counts)
        longer = replace(self, manifest=manifest, grown=grown, added=pl.concat(frames))
        longer.__dict__["items"] = below(self.items, added)  # in place of reading them again
        return longer

    def save_vocabulary(self, folder: Path) -> None:
        """Write the vocabulary, feature values, their states and added features into a run's artefact."""
        save_lineage(folder, self.vocabulary, self.feature_values, self.states)
        for name, source in self.added_dense.items():
            (folder / f"{name}_feature").mkdir()
            source.save(folder / f"{name}_feature")

    def basis(self) -> Basis:
        """Rows and values that a later log can grow from."""
        features = self.manifest.features
        multi = {role: {name: entry["multi"] for name, entry in features.get(role, {}).items()} for role in ROLES}
        multi |= {DENSE[role]: dict.fromkeys(features, False) for role, features in self.manifest.dense.items()}
        return Basis(self.folder, self.vocabulary, self.feature_values, self.states, self.user_ids, multi)


def open_dataset(folder: Path) -> ClickDataset:
    """Open a folder that prepare made.

    Raises:
        InputError: prepare did not make it, it is damaged, or its files do not fit its manifest.
    """
    folder = Path(folder)
    manifest = Manifest.load(folder)
    check_intact(folder, "run prepare again")
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


def open_basis(folder: Path) -> Basis:
    """Open what a vocabulary can grow from: a prepared folder, or a run.

    Raises:
        InputError: It is neither, or damaged.
    """
    if not folder.is_dir():
        raise InputError(f"vocabulary.of is {folder}, which is not a folder. Give a prepared folder or a run.")
    return open_dataset(folder).basis() if (folder / NAME).is_file() else run_basis(folder)
