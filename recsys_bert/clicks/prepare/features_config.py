"""Settings of the features of a side table. Plain values: importing this is instant."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError

Rule = Literal["auto", "standard", "log", "rank"]
"""Scale of a numeric column."""


@dataclass(frozen=True, kw_only=True)
class SideFeaturesConfig:
    """Features from a side table of items or of users."""

    id: str | None = None
    """Column with the id; by default the log's id column, else the table's first."""

    categorical: tuple[str, ...] = ()
    """Columns with one value each that become features."""

    multi: tuple[str, ...] = ()
    """Columns with several values each that become features: lists, or text split at ``separator``."""

    separator: str = "|"
    """Splits the text of ``multi`` columns."""

    max_values: int = 16
    """Values kept of one multi-valued entry; longer entries are counted."""

    numeric: tuple[str, ...] = ()
    """Columns with one number each that become features, as price and year: scaled by what rows with training events
    have, never categories. Empty cells and NaN are missing, flagged and counted."""

    numeric_as: Rule = "auto"
    """Scale of ``numeric`` columns: ``standard`` ((x - mean) / std), ``log`` (the same of log(1 + |x|) with the sign of
    x), or ``rank`` (share of smaller numbers, evenly spread). ``auto``: log where no number is negative and their
    skewness is above 2, else standard."""

    vectors: tuple[str, ...] = ()
    """Ready vectors as features: a column with lists of numbers, or ``NAME=FILE``: a table of ids and lists (or columns
    of numbers), or ``vectors.npy`` with its ids in ``vectors_ids.csv``."""

    bad_numbers: Literal["error", "missing"] = "error"
    """Text and infinite numbers in ``numeric`` columns, vectors of another width or with NaN: an error, or count them
    as missing."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the side table that become features."""
        return self.categorical + self.multi + self.numeric + self.vector_columns

    @property
    def files(self) -> dict[str, str]:
        """Files of vectors by the name of the feature."""
        return dict(vector_file(named) for named in self.vectors if "=" in named)

    @property
    def vector_columns(self) -> tuple[str, ...]:
        """Columns of vectors."""
        return tuple(named for named in self.vectors if "=" not in named)

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Features that are vectors, in order."""
        return tuple(named.partition("=")[0] for named in self.vectors)

    def __post_init__(self) -> None:
        if not self.separator:
            raise InputError(
                "separator of multi-valued columns is empty, which would cut a text into its letters; name one."
            )
        names = self.categorical + self.multi + self.numeric + self.vector_names
        if bad := [named for named in self.vectors if named.startswith("=") or named.endswith("=")]:
            raise InputError(f"vectors has {bad[0]!r}; name a column, or NAME=FILE, as in title=titles.parquet.")
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{', '.join(double)} is named twice among a side table's features; name it once.")

    def check_read(self, group: str, has_table: bool) -> None:
        """Refuse settings that nothing reads.

        Args:
            group: Their group, ``item_features`` or ``user_features``.
            has_table: There is a side table.

        Raises:
            InputError: One is set.
        """
        if not has_table and self.columns:
            table = group.removesuffix("_features")
            raise InputError(f"{group} names columns, but there is no table of {table}s. Pass it as {table}s.")
        reasons = {} if has_table else {"id": f"there is no table of {group.removesuffix('_features')}s"}
        if self.files:
            reasons.pop("id", None)
        reasons |= {} if self.multi else dict.fromkeys(("separator", "max_values"), f"{group}.multi names no column")
        reasons |= {} if self.numeric else {"numeric_as": f"{group}.numeric names no column"}
        if not (self.numeric or self.vectors):
            reasons["bad_numbers"] = f"neither {group}.numeric nor {group}.vectors names a column"
        for name, reason in reasons.items():
            if getattr(self, name) != getattr(SideFeaturesConfig, name):
                raise InputError(f"{group}.{name} is {getattr(self, name)!r}, but {reason}: it has no effect.")


@dataclass(frozen=True, kw_only=True)
class ItemFeaturesConfig(SideFeaturesConfig):
    """Features and words from a side table of items."""

    text: tuple[str, ...] = ()
    """Columns that are an item's words, in this order; lists are joined. A column may be a feature as well."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if double := sorted({name for name in self.text if self.text.count(name) > 1}):
            raise InputError(f"item_features.text names {', '.join(double)} twice; name it once.")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are named, each once."""
        return tuple(dict.fromkeys((*super().columns, *self.text)))


def vector_file(named: str) -> tuple[str, str]:
    """Name and file of ``NAME=FILE``.

    Raises:
        InputError: It is not of this form.
    """
    name, _, file = named.partition("=")
    if not name or not file:
        raise InputError(f"{named!r} is not NAME=FILE, as in title=titles.parquet.")
    return name, file
