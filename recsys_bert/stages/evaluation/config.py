"""Settings of an offline evaluation; no torch in here."""

from dataclasses import dataclass, field
from typing import Literal

from recsys_bert.errors import InputError
from recsys_bert.retrieval.cold_config import ColdItemsConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of an offline evaluation."""

    split: Literal["validation", "test"] = "test"
    """Held-out events that are the targets."""

    targets: tuple[Literal["all", "next", "last", "successive"], ...] = ("all",)
    """Kinds of target, each with metrics of its own; the first is the headline. all: a user's held-out events at once,
    from the history before the first of them; next, last: the first or last of them; successive: every one in turn.
    Those three see all events before their target. They are the same where one event is held out."""

    target_types: tuple[str, ...] = ()
    """Event types that are targets, as purchase; users without one are counted. Empty: all types."""

    ks: tuple[int, ...] = (5, 10, 20, 50)
    """List lengths; those beyond the catalogue are cut to it. 10, or the smallest where 10 is not among them, is used
    for breakdowns and comparisons."""

    indexes: tuple[str, ...] = ("HNSW32", "SQ8")
    """FAISS factory strings compared with exact search, for every model with vectors but those fused with counts, which
    raise items that no index would find."""

    users: int = 0
    """Evaluate on at most this many users, drawn once; 0 takes all."""

    seen: bool = False
    """Also rank items of the user's history."""

    baseline_weights: bool = True
    """Baselines count events by their weights; False: every event counts 1."""

    cold_items: Literal["none", "nearest-text"] = "none"
    """Items without training events: left as each model has them, or nearest-text: in every run they get the mean of
    the learned vectors of their nearest trained items by text. Needs item_vectors."""

    cold: ColdItemsConfig = field(default_factory=ColdItemsConfig)
    """Those vectors."""

    groups: int = 4
    """Groups of users by history length and of targets by popularity."""

    correction: Literal["holm", "bonferroni", "none"] = "holm"
    """Correction of the p-values for all comparisons together."""

    samples: int = 1000
    """Bootstrap resamples for the intervals; the paired tests draw ten times as many."""

    level: float = 0.95
    """Coverage of the intervals, in (0, 1)."""

    seed: int = 0
    """Of all resampling, of the drawn users and of the indexes' training."""

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise InputError(f"ks is {list(self.ks)}; give list lengths ≥ 1.")
        if not 0 < self.level < 1 or self.samples < 0 or self.users < 0 or self.groups < 1:
            raise InputError("level must be in (0, 1), samples and users not negative, groups at least 1.")
        for name in ("targets", "target_types"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InputError(f"{name} are {', '.join(getattr(self, name))}: name each once.")
        if self.cold_items not in ("none", "nearest-text"):
            raise InputError(f"cold_items is {self.cold_items!r}; known are none and nearest-text.")
        if self.cold_items == "none" and self.cold != ColdItemsConfig():
            raise InputError("cold.… are settings of cold_items = 'nearest-text', which is not set. Leave them out.")
        if not self.targets:
            raise InputError("targets is empty; give all, next, last or successive.")
