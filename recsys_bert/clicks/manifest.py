"""manifest.json of a prepared folder: source, settings, counts and dropped events."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from recsys_bert.checksums import NAME as CHECKSUMS
from recsys_bert.clicks.lineage import DENSE, EVENT_TYPE, EVENTS, FIRST_VALUE, ROLES, VocabularyState
from recsys_bert.errors import InputError
from recsys_bert.files import check_nothing_lost, read_json

SCHEMA = 3
KIND = "recsys_bert prepared clicks"
NAME = "manifest.json"
UNKNOWN_EVENTS = "unknown_events.parquet"
ENTRIES = (
    NAME,
    "histories.arrow",
    "vocabulary.parquet",
    "items.parquet",
    "users.parquet",
    "item_features",
    "user_features",
    "item_dense",
    "user_dense",
    UNKNOWN_EVENTS,
    CHECKSUMS,
)
"""Files and folders of a prepared folder."""


def check_target(folder: Path) -> None:
    """Refuse to replace a folder that prepare did not make.

    Raises:
        InputError: ``folder`` is a file, or a folder with other contents.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() and not _is_ours(folder / NAME):
        raise InputError(f"{folder} exists and was not made by prepare (no {NAME} of ours). Choose another --out.")
    if folder.exists():
        check_nothing_lost(folder, ENTRIES, "a prepared log")


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    values = read_json(path)
    return isinstance(values, dict) and values.get("kind") == KIND


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Record of how a log was prepared.

    Args:
        fingerprint: Hash of the meaning of item rows, feature values, and numbers and vectors.
        has_times: True if times are unix seconds; otherwise positions.
        has_weights: True if events are weighted.
        event_types: Event types in the order of their codes, which begin at 2 (0: none, 1: unknown).
        weights: Events and weight by event type, and the least, mean and largest weight; empty without weights.
        counts: Users, items, events; events and users per split; rows of the tables.
        filters: One entry per filter in order: name, events in, events out, reasons.
        split: Kind, variant, borders.
        cold: Held-out events on items without a training event, users without history.
        features: Per side table and column: values, width, coverage.
        dense: Per side table and feature of numbers or vectors: width, scaling, coverage, ``sha256`` of all numbers.
        side_tables: Rows of each side table, and rows not used by reason.
        texts: Columns of ``items.parquet`` that are an item's words, and counts of items with and without; empty
            without words.
        log: Files, rows, event types; ``sha256`` of the contents.
        config: Resolved settings.
        growth: Of a vocabulary that grew from another one: its earlier ``states``, oldest first, and counts of items
            and users that are new or without events.
    """

    fingerprint: str
    has_times: bool
    has_weights: bool
    counts: dict[str, int]
    filters: list[dict[str, Any]]
    split: dict[str, Any]
    event_types: list[str] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    cold: dict[str, int] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)
    dense: dict[str, Any] = field(default_factory=dict)
    side_tables: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, Any] = field(default_factory=dict)
    log: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    growth: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND
    schema: int = SCHEMA

    @property
    def weights_differ(self) -> bool:
        """True if some events weigh more than others."""
        return bool(self.weights) and self.weights["smallest"] < self.weights["largest"]

    def sizes(self) -> dict[str, dict[str, int]]:
        """Number of codes of each feature by role; two of dense ones, whose one value is their scaling."""
        sizes = {role: {name: entry["size"] for name, entry in self.features.get(role, {}).items()} for role in ROLES}
        sizes |= {DENSE[role]: dict.fromkeys(names, FIRST_VALUE + 1) for role, names in self.dense.items()}
        return sizes | ({EVENTS: {EVENT_TYPE: FIRST_VALUE + len(self.event_types)}} if self.event_types else {})

    def at(self, state: VocabularyState, first_item: int) -> "Manifest":
        """The manifest as an earlier state of the vocabulary knows the log.

        Args:
            state: The state.
            first_item: First row that is an item.
        """
        n_rows = self.counts["catalogue_rows"]
        counts = self.counts | {"vocabulary_rows": state.rows, "items": state.rows - first_item}
        counts["cold_items"] = n_rows - state.rows
        known = {role: state.sizes[role] for role in ROLES if state.sizes.get(role)}
        features = {
            role: {name: {**self.features[role][name], "size": size} for name, size in sizes.items()}
            for role, sizes in known.items()
        }
        dense = {
            role: {name: self.dense[role][name] for name in state.sizes[DENSE[role]]}
            for role in ROLES
            if state.sizes.get(DENSE[role])
        }
        n_types = state.sizes.get(EVENTS, {}).get(EVENT_TYPE, FIRST_VALUE) - FIRST_VALUE
        return replace(
            self,
            fingerprint=state.fingerprint,
            counts=counts,
            features=features,
            dense=dense,
            event_types=self.event_types[:n_types],
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; kind and schema first."""
        values = asdict(self)
        return {name: values.pop(name) for name in ("kind", "schema")} | values

    @staticmethod
    def load(folder: Path) -> "Manifest":
        """Read the manifest of a prepared folder.

        Raises:
            InputError: The folder is missing, not made by prepare, or of another schema version.
        """
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder. Make it with: recsys-bert prepare --events LOG --out {folder}")
        path = folder / NAME
        if not path.is_file():
            raise InputError(
                f"{folder} was not made by prepare: it has no {NAME}. Give the --out folder of a prepare run."
            )
        values = read_json(path)
        if not isinstance(values, dict) or values.get("kind") != KIND:
            raise InputError(
                f"{path} is not the manifest of a prepared click log. Give the --out folder of a prepare run."
            )
        if values.get("schema") != SCHEMA:
            raise InputError(
                f"{path} has schema version {values.get('schema')!r}; this version reads {SCHEMA}. Run prepare again."
            )
        try:
            return Manifest(**values)
        except TypeError as error:
            raise InputError(f"{path} does not fit: {error}. It was changed or damaged; run prepare again.") from error


def count_table(manifest: Manifest) -> dict[str, str]:
    """Main counts and the split, by name."""
    counts = manifest.counts
    splits = {
        name: f"{counts[f'{name}_events']:,} events of {counts[f'{name}_users']:,} users"
        for name in ("training", "validation", "test")
    }
    return {
        "users": f"{counts['users']:,}",
        "items": f"{counts['items']:,}, {counts['cold_items']:,} cold",
        "events": f"{counts['events']:,}",
        "split": split_name(manifest.split),
        **splits,
    }


def count_lines(manifest: Manifest) -> list[str]:
    """The counts of ``count_table`` as two lines."""
    table = count_table(manifest)
    splits = [f"{name} {table[name].replace(' events', '')}" for name in ("training", "validation", "test")]
    return [
        f"{table['users']} users · {manifest.counts['items']:,} items, {manifest.counts['cold_items']:,} cold"
        f" · {table['events']} events",
        f"split {table['split']}: {' · '.join(splits)}",
    ]


def split_name(split: dict[str, Any]) -> str:
    """Kind of a split, its variant and its borders."""
    variant = "" if split["validation"] or split["kind"] == "none" else ", refit"
    variant += f" by {', '.join(split['target_types'])}" if split.get("target_types") else ""
    cut = f" ({split['validation_from_iso']}, {split['test_from_iso']})" if "test_from_iso" in split else ""
    return f"{split['kind']}{variant}{cut}"
