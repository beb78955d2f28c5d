"""CL4SRec (https://arxiv.org/abs/2010.14395): two augmentations of a history are a positive pair."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.objectives.contrast.contrast import Contrasted, SameTarget
from recsys_bert.objectives.sequences import Ints, Sequences, TokenTable

Random = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class CL4SRec(Contrasted):
    """Each view of a history is cropped, masked or reordered, drawn by history and view.

    Args:
        weight: Weight of the loss, against 1 for the objective's.
        temperature: Divides cosines.
        crop: Share of the events that a crop keeps, a run of them; 1 leaves crops out.
        mask: Share of the events that are masked; 0 leaves masks out.
        reorder: Share of the events that are shuffled, a run of them; 0 leaves reordering out.
    """

    crop: float = 0.6
    mask: float = 0.3
    reorder: float = 0.6

    needs_dropout: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop", "mask", "reorder"):
            if not 0 <= getattr(self, name) <= 1 or (name == "crop" and not self.crop):
                raise InputError(f"second_loss_options: {name} is {getattr(self, name)}; it must be a share, up to 1.")
        if self.crop == 1 and not self.mask and not self.reorder:
            raise InputError("second_loss_options: crop 1, mask 0 and reorder 0 change nothing; set one of them.")

    def views(
        self, histories: Sequences, targets: Ints, table: TokenTable, same_target: SameTarget, random: Random
    ) -> tuple[Sequences, Sequences, Ints]:
        """Two augmentations. See ``Contrast``."""
        first, second = (self._augmented(histories, table.mask, random) for _ in range(2))
        return first, second, np.arange(len(targets))

    def _augmented(self, histories: Sequences, mask: int, random: Random) -> Sequences:
        views = [cropped(histories, self.crop, random)] if self.crop < 1 else []
        views += [masked(histories, self.mask, mask, random)] if self.mask else []
        views += [reordered(histories, self.reorder, random)] if self.reorder else []
        return _chosen(views, random.integers(0, len(views), len(histories.tokens)))


def cropped(histories: Sequences, share: float, random: Random) -> Sequences:
    """Run of ``share`` of each history's events, at least one."""
    lengths = np.maximum((share * histories.lengths).astype(np.int64), 1)
    start = random.integers(0, histories.lengths - lengths + 1)
    position = np.arange(histories.tokens.shape[1])
    inside = position < lengths[:, None]
    index = np.where(inside, start[:, None] + position, 0)

    def run(values: Ints) -> Ints:
        return np.where(inside, np.take_along_axis(values, index, axis=1), 0)

    return replace(
        histories,
        tokens=run(histories.tokens),
        lengths=lengths,
        times=None if histories.times is None else run(histories.times),
        features={name: run(values) for name, values in histories.features.items()},
    )


def masked(histories: Sequences, share: float, mask: int, random: Random) -> Sequences:
    """Histories with ``share`` of their events, rounded down, replaced by the mask, without features."""
    keys = np.where(histories.mask, random.random(histories.tokens.shape), 2.0)
    rank = keys.argsort(axis=1).argsort(axis=1)
    hidden = rank < (share * histories.lengths).astype(np.int64)[:, None]
    features = {name: np.where(hidden, 0, values) for name, values in histories.features.items()}
    return replace(histories, tokens=np.where(hidden, mask, histories.tokens), features=features)


def reordered(histories: Sequences, share: float, random: Random) -> Sequences:
    """Histories in which a run of ``share`` of the events is shuffled; times stay, so that they still ascend."""
    lengths = (share * histories.lengths).astype(np.int64)
    start = random.integers(0, histories.lengths - lengths + 1)[:, None]
    position = np.arange(histories.tokens.shape[1])[None, :]
    inside = (position >= start) & (position < start + lengths[:, None])
    index = np.where(inside, start + random.random(inside.shape) * lengths[:, None], position).argsort(axis=1)
    tokens = np.take_along_axis(histories.tokens, index, axis=1)
    features = {name: np.take_along_axis(values, index, axis=1) for name, values in histories.features.items()}
    return replace(histories, tokens=tokens, features=features)


def _chosen(views: list[Sequences], way: Ints) -> Sequences:
    """Row ``i`` of view ``way[i]``."""
    rows = np.arange(len(way))

    def pick(values: list[Ints]) -> Ints:
        return np.stack(values)[way, rows]

    times = [view.times for view in views if view.times is not None]
    return replace(
        views[0],
        tokens=pick([view.tokens for view in views]),
        lengths=pick([view.lengths for view in views]),
        times=pick(times) if times else None,
        features={name: pick([view.features[name] for view in views]) for name in views[0].features},
    )
