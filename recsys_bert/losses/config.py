"""Settings of the item losses and their negatives; no torch in here."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class NegativesConfig:
    """Negatives of the sampled losses: how many per history, and from which distribution."""

    in_batch: int = 0
    """Negatives per history drawn from the targets of its batch, that is, by popularity."""

    uniform: int = 256
    """Negatives per history drawn from the catalogue: uniformly, or by popularity_power."""

    popularity_power: float = 0.0
    """Catalogue draws are in proportion to training count to this power; 0 is uniform."""

    by_weight: bool = False
    """Popularity of negatives is the summed weight of an item's training events instead of their number; for logs with
    event weights."""

    log_q: bool = True
    """Correct logits for how often each item is drawn (logQ); for gbce, for what differs from uniform draws."""

    mask_history_hits: bool = False
    """Mask out negatives that stand in the same history."""

    hard_negatives: int = 0
    """Negatives per user mined from an index over the item vectors: the nearest ones outside the history."""

    skip_top: int = 0
    """Nearest items skipped when mining, since they may be what comes next."""

    refresh_steps: int = 500
    """Optimiser steps between two minings; the first is after as many."""

    def __post_init__(self) -> None:
        for name in ("in_batch", "uniform", "hard_negatives", "skip_top"):
            if getattr(self, name) < 0:
                raise InputError(f"loss.negatives.{name} is {getattr(self, name)}; it cannot be negative.")
        if self.in_batch + self.uniform < 1:
            raise InputError(
                "loss.negatives.in_batch and uniform are both 0; a sampled loss needs one negative at least."
            )
        if self.refresh_steps < 1:
            raise InputError(f"loss.negatives.refresh_steps is {self.refresh_steps}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class BucketsConfig:
    """Buckets of sce and rece, in which queries meet a part of the catalogue."""

    number: int = 0
    """Buckets of a batch; 0 = twice the root of its number of targets for sce, the root for rece."""

    queries: int = 0
    """Targets per bucket of sce; 0 = the root of their number."""

    items: int = 256
    """Items per bucket of sce; those of rece follow from its number."""

    neighbours: int = 1
    """Chunks of items that rece compares beside a chunk's own, on either side."""

    rounds: int = 1
    """Rounds of hashing of rece."""

    def __post_init__(self) -> None:
        for name, least in (("number", 0), ("queries", 0), ("items", 1), ("neighbours", 0), ("rounds", 1)):
            if getattr(self, name) < least:
                raise InputError(f"loss.buckets.{name} is {getattr(self, name)}; it must be at least {least}.")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Item loss: how a query vector is compared with the items."""

    name: Literal["full", "sampled", "gbce", "sce", "rece"] = "full"
    """Cross-entropy over the whole catalogue, over sampled items with logQ, or generalised binary cross-entropy. sce
    and rece: cross-entropy over the part of the catalogue that falls into a target's bucket, for catalogues that are
    too large for full."""

    similarity: Literal["dot", "cosine"] = "dot"
    """Inner product, or cosine divided by the temperature."""

    temperature: float = 0.06
    """Divides the cosine."""

    calibration: float = 0.75
    """gBCE's t in [0, 1]; 0 is plain binary cross-entropy."""

    chunk: int = 512
    """Positions scored at a time by the full cross-entropy; bounds its memory at chunk × catalogue floats."""

    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    """Negatives, for sampled and gbce."""

    buckets: BucketsConfig = field(default_factory=BucketsConfig)
    """Buckets, for sce and rece."""

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise InputError(f"loss.chunk is {self.chunk}; it must be at least 1.")
        if not self.temperature > 0:
            raise InputError(f"loss.temperature is {self.temperature}; it must be above 0, as in 0.06.")
        if not 0 <= self.calibration <= 1:
            raise InputError(f"loss.calibration is {self.calibration}; it must lie in [0, 1].")
        # stages differ in how many negatives they draw by default, so these count only where they are named
        self.check_named(frozenset(_changed(self)) - {"negatives.in_batch", "negatives.uniform"})

    @property
    def samples(self) -> bool:
        """True if negatives are drawn."""
        return self.name in ("sampled", "gbce")

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse settings without effect.

        Args:
            names: The settings that were named, as in ``negatives.uniform``.

        Raises:
            InputError: One of them has no effect.
        """
        for name, reason in self._without_effect().items():
            if name in names:
                raise InputError(f"loss.{name} has no effect: {reason}.")

    def check_only_similarity(self, reason: str, names: frozenset[str] = frozenset()) -> None:
        """Refuse settings of the loss itself where only the similarity and the sampled items are read.

        Args:
            reason: Why the loss is not read.
            names: The settings that were named, as in ``check_named``.

        Raises:
            InputError: One of the others is named, or is not the default.
        """
        if self.name == "gbce":
            raise InputError(f"loss.name 'gbce' has no effect: {reason}. Take 'sampled', which samples the same items.")
        if self.name in ("sce", "rece"):
            raise InputError(f"loss.name {self.name!r} has no effect: {reason}. Take 'full' or 'sampled'.")
        read = {"name", "similarity", "temperature", "chunk", "negatives.uniform", "negatives.popularity_power"}
        if unread := sorted((names | frozenset(_changed(self))) - read):
            raise InputError(f"loss.{unread[0]} has no effect: {reason}.")

    def _without_effect(self) -> dict[str, str]:
        """Reasons by setting."""
        reasons: dict[str, str] = {}
        if self.name != "gbce":
            reasons["calibration"] = f"it is for loss.name 'gbce', not {self.name!r}"
        if self.similarity == "dot":
            reasons["temperature"] = "it divides cosines; loss.similarity is 'dot'"
        if not self.negatives.hard_negatives:
            reason = "loss.negatives.hard_negatives is 0, nothing is mined"
            reasons |= {"negatives.skip_top": reason, "negatives.refresh_steps": reason}
        if not self.negatives.uniform:
            reasons["negatives.popularity_power"] = "loss.negatives.uniform is 0"
        if not (self.negatives.in_batch or self.negatives.popularity_power or self.negatives.hard_negatives):
            reasons["negatives.log_q"] = "all negatives are drawn uniformly, which needs no correction"
        if not (self.negatives.in_batch or self.negatives.popularity_power):
            reasons["negatives.by_weight"] = "no negative is drawn by popularity"
        if not self.samples:
            every = (f"negatives.{option.name}" for option in fields(NegativesConfig))
            scored = "all items" if self.name == "full" else "the items of a bucket"
            reason = f"loss.name {self.name!r} scores {scored}; negatives are for sampled and gbce"
            reasons |= dict.fromkeys(every, reason)
        read = {"sce": ("number", "queries", "items"), "rece": ("number", "neighbours", "rounds")}.get(self.name, ())
        for option in fields(BucketsConfig):
            if option.name not in read:
                reasons[f"buckets.{option.name}"] = f"loss.name {self.name!r} does not read it"
        return reasons


def _changed(config: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of the settings that differ from their class's defaults."""
    for option in fields(config):
        value = getattr(config, option.name)
        if is_dataclass(value):
            yield from _changed(value, f"{prefix}{option.name}.")
        elif value != option.default:
            yield prefix + option.name
