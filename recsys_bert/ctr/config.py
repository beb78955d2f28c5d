"""What a click model is told about impressions, parts and history. Plain values: importing this is instant."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recsys_bert.ctr.heads import CTR_HEADS
from recsys_bert.errors import InputError

HeadOptions = dict[str, bool | int | float | str | list[int]]
"""A head's own options as a recipe gives them."""

_RULE = re.compile(r"^(?P<column>.+?)\s*(?P<sign>>=|<=|==|!=|>|<)\s*(?P<value>\S.*)$")


def rule_parts(label: str) -> tuple[str, str | None, str]:
    """Column, sign and value of a rule such as ``rating >= 4``; of a plain column, its name, None and ``""``."""
    found = _RULE.match(label.strip())
    return (found["column"], found["sign"], found["value"]) if found else (label, None, "")


@dataclass(frozen=True, kw_only=True)
class ImpressionsConfig:
    """Where impressions are, how their columns are called, and which of them train."""

    log: Path | None = None
    """One file that is cut by time into training, validation and test. Not together with ``train``."""

    train: Path | None = None
    """File of training impressions; ``validation`` must be given with it."""

    validation: Path | None = None
    """File of validation impressions; they choose the epoch."""

    test: Path | None = None
    """File of test impressions; looked at once, after training."""

    format: Literal["auto", "csv", "tsv", "parquet", "recbole", "libfm"] = "auto"
    """How files are read; ``auto`` goes by their ending (.inter is RecBole's, .libfm is ``label index:1 …``)."""

    libfm_fields: Path | None = None
    """For libfm: tab-separated file with columns field, value, index, which names the fields. Without it the place in
    the row is the field, ``field_0`` and so on."""

    label: str = "label"
    """Column that is 1 (or true) for a click and 0 (or -1, or false) for none; or a rule such as ``rating >= 4``."""

    user: str | None = None
    """Column with the user's id: groups GAUC and finds the history."""

    item: str | None = None
    """Column with the item's id: the target item."""

    time: str | None = None
    """Column with the moment shown: integers, ISO text or datetimes. Needed for a history and for cutting by time."""

    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Unit of numeric times since 1970; ``auto`` goes by their size."""

    validation_from: float | str | None = None
    """Where one file is cut: quantile of its times in (0, 1), or ISO date (UTC), from which on impressions are
    validation. None: where the prepared folder's validation begins, if it was cut by time; else 0.8."""

    test_from: float | str | None = None
    """The same for the test; else 0.9."""

    def is_libfm(self, path: Path) -> bool:
        """Whether a file is read as libFM's."""
        return self.format == "libfm" or (self.format == "auto" and path.suffix == ".libfm")

    def check_files(self) -> None:
        """Check which files are given; a pipeline does, so that settings without files can exist.

        Raises:
            InputError: Neither ``log`` nor ``train``, both, ``train`` without ``validation``, or settings of the other.
        """
        if (self.log is None) == (self.train is None):
            raise InputError(
                "give either impressions.log (cut by time) or impressions.train and impressions.validation."
            )
        if self.train is not None and self.validation is None:
            raise InputError("impressions.train needs impressions.validation, on which the epoch is chosen.")
        if self.log is not None and (self.validation is not None or self.test is not None):
            raise InputError("impressions.log is cut by time; validation and test files go with impressions.train.")
        if self.log is None and (self.validation_from is not None or self.test_from is not None):
            raise InputError(
                "impressions.validation_from and test_from say where impressions.log is cut; leave them out where "
                "impressions.train is given."
            )
        if self.log is not None and self.time is None:
            raise InputError("cutting impressions.log by time needs impressions.time, the name of the column.")
        files = [path for path in (self.log, self.train, self.validation, self.test) if path is not None]
        if self.libfm_fields is not None and not any(self.is_libfm(path) for path in files):
            raise InputError(
                f"impressions.libfm_fields names the fields of libFM files, and {files[0]} is none. Leave it out, or "
                "pass --impressions.format libfm."
            )

    def __post_init__(self) -> None:
        for name in ("validation_from", "test_from"):
            value = getattr(self, name)
            if isinstance(value, float | int) and not 0 < value < 1:
                raise InputError(f"impressions.{name} is {value}; a quantile lies between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """Which columns become fields of an impression. Everything is learned from training impressions only."""

    ids: tuple[Literal["user", "item"], ...] = ("user", "item")
    """Ids that are fields of their own, where the impressions name the column."""

    categorical: tuple[str, ...] = ()
    """Columns with one value each."""

    numeric: tuple[str, ...] = ()
    """Columns with a number; a missing one is a value of its own."""

    multi: tuple[str, ...] = ()
    """Columns with several values each: lists, or text cut at ``separator``; their embeddings are averaged."""

    separator: str = " "
    """Cuts the text of multi-valued columns."""

    multi_max: int = 20
    """Most values kept of one multi-valued cell; how many were cut is counted."""

    numeric_as: Literal["standardise", "buckets"] = "buckets"
    """Numbers as multiples of one vector, shifted and scaled to mean 0 and deviation 1; or as one of ``n_buckets``."""

    n_buckets: int = 10
    """Buckets of about equally many training impressions."""

    min_count: int = 1
    """Values seen less often in training share one row with the unseen ones."""

    item_side: bool = True
    """Item features of the prepared folder become fields."""

    user_side: bool = True
    """User features of the prepared folder become fields."""

    def __post_init__(self) -> None:
        names = [*self.categorical, *self.numeric, *self.multi]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{', '.join(double)} is named twice among the features; name it once.")
        if self.n_buckets < 2 or self.min_count < 1 or self.multi_max < 1 or not self.separator:
            raise InputError(
                f"features: n_buckets is {self.n_buckets} (at least 2), min_count {self.min_count} and multi_max "
                f"{self.multi_max} (at least 1); separator must not be empty."
            )


@dataclass(frozen=True, kw_only=True)
class ClickModelConfig:
    """Embeddings, head, and how the history enters."""

    head: str = field(default="dcn_v2", metadata={"names": CTR_HEADS})
    """A name in ``CTR_HEADS``, or ``module:Class``."""

    head_options: HeadOptions = field(default_factory=dict)
    """Options of the head."""

    dim: int = 16
    """Width of one field's vector."""

    init_std: float = 0.01
    """Standard deviation of the embeddings at the start."""

    embedding_l2: float = 0.0
    """Half this times the sum of the squared feature embeddings is added to the mean loss, over the whole table."""

    history_len: int = 50
    """Newest events before the impression that are read; 0 leaves the history out."""

    encoder: Path | None = None
    """Run folder of ``pretrain`` on the same prepared folder; None: plain item embeddings."""

    encoder_mode: Literal["frozen", "fine_tuned", "none"] = "frozen"
    """What training does to the encoder: nothing, or ``encoder_lr``; ``none`` uses plain embeddings after all."""

    encoder_lr: float = 1e-4
    """Learning rate of a fine-tuned encoder; for ``fine_tuned``."""

    def __post_init__(self) -> None:
        if self.dim < 1 or self.history_len < 0 or self.init_std <= 0 or self.embedding_l2 < 0:
            raise InputError(
                f"model: dim is {self.dim} (at least 1), history_len {self.history_len} and embedding_l2 "
                f"{self.embedding_l2} (not negative), init_std {self.init_std} (above 0)."
            )
        if not self.encoder_lr > 0:
            raise InputError(f"model.encoder_lr is {self.encoder_lr}; it must be above 0. Use encoder_mode = 'frozen'.")
        tuned = self.encoder_mode == "fine_tuned"
        if tuned and self.encoder is None:
            raise InputError(
                "model.encoder_mode is 'fine_tuned', but there is no model.encoder. Name a run of pretrain."
            )
        if not tuned and self.encoder_lr != ClickModelConfig.encoder_lr:
            raise InputError(
                f"model.encoder_lr is {self.encoder_lr}, but encoder_mode {self.encoder_mode!r} trains no encoder. "
                "Leave it out, or give an encoder and encoder_mode = 'fine_tuned'."
            )

    @property
    def encoded(self) -> bool:
        """Whether the history goes through an encoder."""
        return self.encoder is not None and self.encoder_mode != "none"
