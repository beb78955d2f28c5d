"""manifest.json: what a prepared folder is, where it came from and what was left out on the way."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError
from recsys_bert.files import check_nothing_lost, read_json

SCHEMA = 1
KIND = "recsys_bert prepared clicks"
NAME = "manifest.json"
ENTRIES = (
    NAME,
    "histories.arrow",
    "vocabulary.parquet",
    "items.parquet",
    "users.parquet",
    "item_features",
    "user_features",
)
"""Everything that a prepared folder holds."""


def check_target(folder: Path) -> None:
    """Refuse to replace what prepare did not make.

    Raises:
        InputError: ``folder`` is a file, or a folder that holds something else, or something else as well.
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
    """Everything that was counted while a log was prepared.

    Args:
        fingerprint: Equal where item rows and feature values mean the same.
        has_times: Whether times are unix seconds; otherwise positions.
        has_weights: Whether events are weighted.
        counts: Users, items, events; the parts of the split; rows of the tables.
        filters: One entry per filter in order: name, events in, events out, reasons.
        split: Kind, variant, borders.
        cold: Held-out events on items without a training event, users without history.
        features: Per side table and column: values, width, coverage.
        side_tables: Rows of each side table, and rows not used by reason.
        log: Files, rows, event types; ``sha256`` of the contents.
        config: Resolved settings.
    """

    fingerprint: str
    has_times: bool
    has_weights: bool
    counts: dict[str, int]
    filters: list[dict[str, Any]]
    split: dict[str, Any]
    cold: dict[str, int] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)
    side_tables: dict[str, Any] = field(default_factory=dict)
    log: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; what tells one file from another comes first."""
        values = asdict(self)
        return {name: values.pop(name) for name in ("kind", "schema")} | values

    @staticmethod
    def load(folder: Path) -> "Manifest":
        """Read the manifest of a prepared folder.

        Raises:
            InputError: The folder is missing, not ours, or of another schema version.
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
