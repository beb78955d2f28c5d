"""Lineage of a vocabulary: the states that it grew from, each proved by a fingerprint of its first rows and values."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_bert.clicks.vocabulary import Vocabulary
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

UNKNOWN_VALUE, FIRST_VALUE = 1, 2
"""Codes of a feature: 0 is none, 1 a value unknown in training, 2 the first value."""

ROLES = ("items", "users")
DENSE = {"items": "item_dense", "users": "user_dense"}
"""Role of the dense features of each role; the one value of each is its scaling, as text."""
EVENTS, EVENT_TYPE = "events", "event_type"
"""Role of the one feature of events, and its name: the type of each event."""

VALUES, LINEAGE = "values.parquet", "lineage.json"

Values = Mapping[str, Mapping[str, pl.Series]]
"""Values of features as text, from code ``FIRST_VALUE`` on: ``{"items": {feature: values}, "users": {…}}``; with
event types also ``{"events": {"event_type": types}}``, with dense features ``{"item_dense": {feature: [scaling]}}``."""


@dataclass(frozen=True, kw_only=True)
class VocabularyState:
    """Item rows and feature values at one time; a grown vocabulary begins with them.

    Args:
        fingerprint: Hash of their meaning, see ``fingerprint_of``.
        rows: Rows of the embedding table.
        sizes: Number of codes, with 0 and 1, of each feature by role.
        folder: Name of the prepared folder.
        contents: Hash of the numbers and vectors of items and users as they were then; empty without any.
    """

    fingerprint: str
    rows: int
    sizes: dict[str, dict[str, int]]
    folder: str = ""
    contents: str = ""


def event_values(types: Sequence[str]) -> dict[str, dict[str, pl.Series]]:
    """Event types as values of a feature of events; empty without any."""
    return {EVENTS: {EVENT_TYPE: pl.Series(list(types), dtype=pl.String)}} if types else {}


def scalings(dense: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, pl.Series]]:
    """Scalings of dense features, of a manifest's entries by role, as their values."""
    return {
        DENSE[role]: {name: pl.Series([entry["scaling"]]) for name, entry in features.items()}
        for role, features in dense.items()
    }


def contents_of(dense: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Hash of the numbers and vectors of a manifest's entries by role; empty without any.

    Codes keep their meaning where an item gets another category; a vector of another space, or a number of another
    unit, has the same scaling and means something else.
    """
    digests = [(role, name, one["sha256"]) for role in dense for name, one in dense[role].items() if "sha256" in one]
    return hashlib.sha256(repr(sorted(digests)).encode()).hexdigest()[:16] if digests else ""


def fingerprint_of(vocabulary: Vocabulary, values: Values, contents: str = "") -> str:
    """Hash of the meaning of item rows, feature codes, and numbers and vectors; see ``contents_of``."""
    digest = hashlib.sha256(vocabulary.fingerprint.encode())
    for role, features in values.items():
        for name, texts in features.items():
            digest.update(f"\n{role} {name}\n".encode())
            digest.update("\n".join(texts.to_list()).encode())
    digest.update(contents.encode())
    return digest.hexdigest()[:16]


def values_at(values: Values, state: VocabularyState) -> Values:
    """Values that a state knew: the first ones of its features.

    Raises:
        InputError: A feature is gone.
    """
    missing = [
        f"{role}.{name}" for role in state.sizes for name in state.sizes[role] if name not in values.get(role, {})
    ]
    if missing:
        raise InputError(f"the features {', '.join(missing)} are gone, which {state.folder} had; their codes are lost.")
    return {
        role: {name: values[role][name].head(size - FIRST_VALUE) for name, size in sizes.items()}
        for role, sizes in state.sizes.items()
    }


def is_proved(state: VocabularyState, vocabulary: Vocabulary, values: Values) -> bool:
    """True if a vocabulary and its values begin with those of the state; numbers may have changed since."""
    first = vocabulary.head(state.rows)
    if first.size != state.rows:
        return False
    return fingerprint_of(first, values_at(values, state), state.contents) == state.fingerprint


@dataclass(frozen=True)
class Basis:
    """Vocabulary and users of yesterday, which those of today begin with.

    Args:
        folder: The prepared folder, or the run.
        vocabulary: Item rows.
        values: Values of features.
        states: States of the vocabulary, oldest first; the last one is its own.
        user_ids: Users in the order of their rows; None for a run, which knows no users.
        multi: Whether each feature is multi-valued, by role; empty for a run.
    """

    folder: Path
    vocabulary: Vocabulary
    values: Values
    states: Sequence[VocabularyState]
    user_ids: pl.Series | None
    multi: Mapping[str, Mapping[str, bool]]

    @property
    def event_types(self) -> list[str]:
        """Event types in the order of their codes."""
        return self.values.get(EVENTS, {}).get(EVENT_TYPE, pl.Series(dtype=pl.String)).to_list()

    def users_first(self, user_ids: pl.Series) -> pl.Series:
        """Users of the basis in the order of their rows, then the others of ``user_ids`` in theirs."""
        if self.user_ids is None:
            return user_ids
        new = user_ids.filter(~user_ids.is_in(self.user_ids.implode()))
        return pl.concat([self.user_ids, new.rename(self.user_ids.name)])

    def check_ids(self, role: str, kind: Any) -> None:
        """Refuse ids of another type.

        Raises:
            InputError: They are.
        """
        ids = self.vocabulary.item_ids if role == "item" else self.user_ids
        if ids is not None and ids.dtype != kind:
            sorts = ["text" if one == pl.String else "integers" for one in (ids.dtype, kind)]
            raise InputError(
                f"{role} ids of {self.folder} are {sorts[0]}, those of this log {sorts[1]}. Pass --log.ids "
                f"{'text' if ids.dtype == pl.String else 'integer'}, or prepare without vocabulary.of."
            )

    def check_features(self, multi: Mapping[str, Mapping[str, bool]]) -> None:
        """Refuse a log whose features are not those of the basis: their codes would be lost.

        Args:
            multi: Whether each feature of the log is multi-valued, by role.

        Raises:
            InputError: A feature is missing, or has become multi-valued or single-valued.
        """
        names = [(role, name) for role in (*ROLES, *DENSE.values()) for name in self.values.get(role, {})]
        for role, name in names:
            group = f"{role.removesuffix('s').removesuffix('_dense')}_features"
            if name not in multi.get(role, {}):
                raise InputError(
                    f"{self.folder} has the feature {name!r} of {group.removesuffix('_features')}s, which this log "
                    f"lacks. Name it in {group}, with the table or file that has it; or prepare without vocabulary.of."
                )
            if multi[role][name] != self.multi.get(role, {}).get(name, multi[role][name]):
                kind = "multi" if self.multi[role][name] else "categorical"
                raise InputError(f"the feature {name!r} of {role} is in {group}.{kind} of {self.folder}; keep it.")


def save_lineage(folder: Path, vocabulary: Vocabulary, values: Values, states: Sequence[VocabularyState]) -> None:
    """Write vocabulary, values and states into a run's artefact, so that a log can grow from it."""
    vocabulary.save(folder / "vocabulary.parquet")
    save_values(folder / VALUES, values)
    write_json(folder / LINEAGE, {"states": [asdict(state) for state in states]})


def save_values(path: Path, values: Values) -> None:
    """Write the values of features: ``role``, ``feature``, ``code``, ``value``."""
    schema = {"role": pl.String, "feature": pl.String, "code": pl.Int32, "value": pl.String}
    parts = [
        pl.DataFrame({"code": np.arange(FIRST_VALUE, FIRST_VALUE + len(texts), dtype=np.int32), "value": texts}).select(
            pl.lit(role).alias("role"), pl.lit(name).alias("feature"), "code", pl.col("value").cast(pl.String)
        )
        for role, features in values.items()
        for name, texts in features.items()
    ]
    pl.concat([pl.DataFrame(schema=schema), *parts]).write_parquet(path)


def run_basis(run: Path) -> Basis:
    """Vocabulary of a run, from the artefact that it wrote.

    Raises:
        InputError: The folder holds none, or one of an older version.
    """
    folder = next((path.parent for path in sorted(run.glob(f"*/{LINEAGE}"))), None)
    if folder is None:
        raise InputError(
            f"vocabulary.of is {run}, which is neither a prepared folder nor a run with a vocabulary. Give the folder "
            "that the run was trained on."
        )
    states = [VocabularyState(**state) for state in read_json(folder / LINEAGE)["states"]]
    table = pl.read_parquet(folder / VALUES, glob=False)
    values = {
        role: {name: table.filter((pl.col("role") == role) & (pl.col("feature") == name))["value"] for name in names}
        for role, names in states[-1].sizes.items()
    }
    return Basis(run, Vocabulary.load(folder / "vocabulary.parquet"), values, states, None, {})
