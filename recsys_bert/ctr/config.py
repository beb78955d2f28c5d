"""Settings of a CTR model: columns, files, features, parts. No torch in here."""

import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from recsys_bert.clicks.prepare.table_config import TableConfig
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.errors import InputError, unknown_name

ImpressionFormat = Literal[
    "auto", "csv", "tsv", "parquet", "arrow", "jsonl", "movielens", "recbole", "mind_impressions", "libfm"
]
MEANS = ("auc", "gauc", "log_loss", "calibration_error")
"""Metrics of a model; of several labels those of each, and their means."""

_RULE = re.compile(r"^(?P<column>.+?)\s*(?P<sign>>=|<=|==|!=|>|<)\s*(?P<value>\S.*)$")


def rule_parts(label: str) -> tuple[str, str | None, str]:
    """Column, sign and value of a rule such as ``rating >= 4``; of a plain column, its name, None and ``""``."""
    match = _RULE.match(label.strip())
    return (match["column"], match["sign"], match["value"]) if match else (label, None, "")


@dataclass(frozen=True, kw_only=True)
class ColumnsConfig:
    """Columns of the impressions that are no features."""

    label: str = "label"
    """Column that is 1 (or true) for a click and 0 (or -1, or false) for none; or a rule such as ``rating >= 4``."""

    labels: tuple[str, ...] = ()
    """Several labels, each a column or a rule: one model with a task for each, instead of ``label``. A missing value is
    left out of that task's loss and metrics."""

    user: str | None = None
    """Column with the user's id: groups GAUC and selects the history."""

    item: str | None = None
    """Column with the item's id: the target item."""

    history: str | None = None
    """Column with the items before the impression, oldest first: lists, or text as JSON or Python writes lists, or cut
    at a separator. Histories come from it instead of the prepared log's events. Items share one vocabulary: the log's,
    or that of the training impressions."""

    time: str | None = None
    """Column with the timestamp: integers, ISO text or datetimes. For histories and for the cut by time."""

    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Unit of numeric times since 1970; ``auto`` goes by their size, file by file."""

    time_format: str | None = None
    """Pattern of text times as in ``strptime``: ``%d.%m.%Y %H:%M``. None: numbers and ISO text."""

    def __post_init__(self) -> None:
        if self.time_format is not None and (self.time is None or self.time_unit != "auto"):
            other = "columns.time names no column" if self.time is None else "columns.time_unit is of numbers"
            raise InputError(f"columns.time_format is {self.time_format!r}, but {other}. Leave one out.")
        if self.labels and self.label != type(self).label:
            raise InputError(
                f"columns.label is {self.label!r} and columns.labels {list(self.labels)}; set one of them."
            )
        if len(self.labels) == 1:
            raise InputError(f"columns.labels is {list(self.labels)}; a single label is columns.label.")
        if len(set(self.labels)) < len(self.labels):
            raise InputError(f"columns.labels is {list(self.labels)}; each label is named once.")

    def without_time(self) -> "ColumnsConfig":
        """The same without a time."""
        return replace(self, time=None, time_unit=type(self).time_unit, time_format=None)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All labels, in order."""
        return self.labels or (self.label,)


@dataclass(frozen=True, kw_only=True)
class FilesConfig(TableConfig):
    """Reading of impression files; ``missing`` counts for data frames too."""

    format: ImpressionFormat = "auto"  # type: ignore[assignment]
    """How files are read; ``auto`` goes by their ending (.inter is RecBole's, .libfm is ``label index:1 …``)."""

    libfm_fields: Path | None = None
    """For libFM: tab-separated file with columns field, value, index, which names the fields. Without it fields are
    numbered by their position in the row: ``field_0`` and so on."""

    def is_libfm(self, path: Path) -> bool:
        """True if a file is read as libFM."""
        return self.format == "libfm" or (self.format == "auto" and path.suffix == ".libfm")

    def check_used(self, paths: Sequence[Path]) -> None:
        """Refuse settings that no file reads.

        Raises:
            InputError: A format without files, or libFM fields without a libFM file.
        """
        if not paths:
            names = ("format", "separator", "columns", "encoding", "quote", "bad_rows", "libfm_fields")
            _check_default(self, "files", names, "the impressions are data frames, not files")
        if self.libfm_fields is not None and not any(self.is_libfm(path) for path in paths):
            raise InputError(
                f"files.libfm_fields names the fields of libFM files; {paths[0]} is not one. Leave it out, or set "
                "files.format to libfm."
            )


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """Columns that become fields of an impression; fitted on training impressions only."""

    ids: tuple[Literal["user", "item"], ...] = ("user", "item")
    """Ids that are fields as well, if ``columns`` names their column."""

    categorical: tuple[str, ...] = ()
    """Columns with one value each."""

    numeric: tuple[str, ...] = ()
    """Columns with a number; a missing one is a value of its own."""

    multi: tuple[str, ...] = ()
    """Columns with several values each: lists, or text cut at ``separator``; their embeddings are averaged."""

    separator: str = " "
    """Cuts the text of multi-valued columns and of ``columns.history``; text in brackets is read as a list."""

    separators: dict[str, str] = field(default_factory=dict)
    """Separators of columns with one of their own, by name: ``{genres = "|"}``."""

    multi_max: int = 20
    """Most values kept of one multi-valued cell; how many were cut is counted."""

    numeric_as: Literal["standardise", "buckets"] = "buckets"
    """Numbers as multiples of one vector, scaled to mean 0 and standard deviation 1; or as one of ``n_buckets``."""

    n_buckets: int = 10
    """Buckets with about equally many training impressions."""

    min_count: int = 1
    """Values with fewer training impressions share one row with the unseen ones."""

    item_side: bool = True
    """Item features of the prepared log become fields."""

    user_side: bool = True
    """User features of the prepared log become fields."""

    def __post_init__(self) -> None:
        if double := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise InputError(f"{', '.join(double)} is named twice among the features; name it once.")
        if self.n_buckets < 2 or self.min_count < 1 or self.multi_max < 1:
            raise InputError(
                f"features: n_buckets is {self.n_buckets} (at least 2), min_count {self.min_count} and multi_max "
                f"{self.multi_max} (at least 1)."
            )
        if not self.separator or not all(self.separators.values()):
            raise InputError(
                "features: a separator is empty, which would cut a text into its letters. Name one such as '|'."
            )
        if not self.multi:
            _check_default(self, "features", ("multi_max",), "features.multi names no column")
        if not self.numeric:
            _check_default(self, "features", ("numeric_as", "n_buckets"), "features.numeric names no column")
        if self.numeric_as != "buckets":
            _check_default(self, "features", ("n_buckets",), f"features.numeric_as is {self.numeric_as!r}")

    def separator_of(self, column: str) -> str:
        """Separator of a column's text."""
        return self.separators.get(column, self.separator)

    @property
    def columns(self) -> list[str]:
        """Columns that features are fitted on, apart from ids."""
        return [*self.categorical, *self.numeric, *self.multi]


@dataclass(frozen=True, kw_only=True)
class CTRConfig:
    """A CTR model: how impressions are read and what reads them."""

    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    """Label, user, item and time."""

    files: FilesConfig = field(default_factory=FilesConfig)
    """Format of files; not for data frames."""

    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    """Columns that become fields."""

    model: CTRModelConfig = field(default_factory=CTRModelConfig)
    """Embeddings, head and history."""

    def __post_init__(self) -> None:
        for rule in (rule_parts(label)[0] for label in self.columns.tasks):
            if rule in (*self.features.columns, self.columns.history):
                raise InputError(f"{rule!r} gives the label, so it cannot be a feature or the history. Take it out.")
        self._check_tasks()
        self._check_separators()
        if self.columns.time is None:
            _check_default(self.columns, "columns", ("time_unit",), "columns.time names no column")
        if self.features.ids != FeaturesConfig().ids:
            for kind in self.features.ids:
                if getattr(self.columns, kind) is None:
                    raise InputError(f"features.ids has {kind!r}, but columns.{kind} names no column. Set it.")

    def _check_tasks(self) -> None:
        """Refuse settings of several tasks for one label, and weights of labels that there are not."""
        if not self.columns.labels:
            names = ("multi_task", "multi_task_options", "task_weights")
            _check_default(self.model, "model", names, "there is one label; several are columns.labels")
        if unknown := set(self.model.task_weights) - set(self.columns.tasks):
            raise unknown_name("label of model.task_weights", min(unknown), self.columns.tasks)

    def _check_separators(self) -> None:
        """Refuse separators that cut nothing, and a history without target items."""
        listed = [*self.features.multi, *([] if self.columns.history is None else [self.columns.history])]
        if not listed:
            names = ("separator", "separators")
            _check_default(self.features, "features", names, "features.multi and columns.history name no column")
        if unknown := set(self.features.separators) - set(listed):
            raise unknown_name("column of features.separators", min(unknown), listed)
        if self.columns.history is not None and self.columns.item is None:
            raise InputError("columns.history needs columns.item, the target that is compared with the history.")

    @property
    def id_columns(self) -> list[str]:
        """Columns of ids that are fields as well."""
        names = {"user": self.columns.user, "item": self.columns.item}
        return [column for kind in self.features.ids if (column := names[kind]) is not None]

    def check_dataset(self, has_dataset: bool) -> None:
        """Refuse settings that have no effect with, or without, a prepared log.

        Raises:
            InputError: Settings do not fit the inputs.
        """
        if has_dataset:
            if None in (self.columns.user, self.columns.item):
                raise InputError("joining a prepared log needs columns.user and columns.item.")
            if self.columns.time is None and self.columns.history is None and self.model.history_len != 0:
                raise InputError("joining histories needs columns.time, the name of the column.")
        else:
            reason = "the features of items and users come from a prepared log, and there is none"
            _check_default(self.features, "features", ("item_side", "user_side"), reason)
            if not self.id_columns and not self.features.columns and self.columns.history is None:
                raise InputError("no column is a feature: set columns.user, columns.item or features.")
            unread = self.columns.item is not None and self.columns.history is None
            if unread and "item" not in self.features.ids:
                raise InputError(
                    f"columns.item is {self.columns.item!r}, which nothing reads: 'item' is not in features.ids and "
                    "there is no prepared log. Leave it out."
                )
        counted = [*self.id_columns, *self.features.categorical, *self.features.multi]
        if not counted and (has_dataset or self.columns.history is None):
            _check_default(self.features, "features", ("min_count",), "no id, categorical or multi column is a feature")
        self.model.check_dataset(has_dataset, self.columns.history)

    def needed_columns(self, has_dataset: bool, labelled: bool) -> ColumnsConfig:
        """Columns that a trained model reads: time only for histories, the user for histories, fields or GAUC.

        Args:
            has_dataset: Histories or side features come from a prepared log.
            labelled: Labels are read, and GAUC is wanted.
        """
        needs_user = has_dataset or labelled or "user" in self.features.ids
        needs_time = has_dataset and self.model.history_len and self.columns.history is None
        columns = replace(self.columns, user=self.columns.user if needs_user else None)
        return columns if needs_time else columns.without_time()

    def resolved(self, has_dataset: bool) -> Self:
        """Fill in the defaults that depend on the prepared log."""
        return replace(self, model=self.model.resolved(has_dataset or self.columns.history is not None))


def _check_default(config: Any, group: str, names: Sequence[str], reason: str) -> None:
    """Refuse settings of a recipe's ``group`` that are not at their defaults and have no effect, for ``reason``."""
    for name in names:
        setting = type(config).__dataclass_fields__[name]
        default = setting.default if setting.default_factory is MISSING else setting.default_factory()
        if (value := getattr(config, name)) != default:
            raise InputError(f"{group}.{name} is {value!r}, but {reason}. Leave it out.")
