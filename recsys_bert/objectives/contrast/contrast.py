"""The contract of a contrastive second loss, its part of a batch, and the loss beside an objective's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from recsys_bert.encoder.batch import FEATURE
from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.losses.contrastive import info_nce
from recsys_bert.objectives.module import Batch, ObjectiveModule
from recsys_bert.objectives.sequences import Ints, Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction, at

VIEW = "view."
"""Begins the names of a batch's entries of both views, ``[2 * n, …]``, first views before second ones."""

GROUP = "view_group"
"""Entry ``[n]``: histories of the same number are no negatives of each other."""

SameTarget = Callable[[Ints, np.random.Generator], Sequences]
"""``(targets [n], random) ->`` events before an event of each target, drawn from all training histories."""


class Contrast(Protocol):
    """Contrastive second loss; its options are keyword-only arguments of the constructor."""

    weight: float
    """Weight of the loss, against 1 for the objective's."""

    temperature: float
    """Divides cosines."""

    needs_dropout: bool
    """True if the views of a history may differ by the encoder's dropout alone."""

    def views(
        self,
        histories: Sequences,
        targets: Ints,
        table: TokenTable,
        same_target: SameTarget,
        random: np.random.Generator,
    ) -> tuple[Sequences, Sequences, Ints]:
        """Make two views of each history.

        Args:
            histories: Events before a target each, as the model is queried with at test time.
            targets: ``[n]`` items that came next.
            table: Rows of the item table.
            same_target: Draws other histories with given targets.
            random: Source of randomness.

        Returns:
            First views, second views, and a number ``[n]`` for each history; those with the same number are no
            negatives of each other.
        """


@dataclass(frozen=True, kw_only=True)
class Contrasted:
    """Options that every contrastive loss has.

    Args:
        weight: Weight of the loss, against 1 for the objective's.
        temperature: Divides cosines.
    """

    weight: float = 0.1
    temperature: float = 0.1

    def __post_init__(self) -> None:
        for name in ("weight", "temperature"):
            if not getattr(self, name) > 0:
                raise InputError(f"second_loss_options: {name} is {getattr(self, name)}; it must be above 0.")


class ViewBatches:
    """Adds the views of a batch of histories to it.

    Args:
        contrast: Makes the views.
        table: Rows of the item table.
        same_target: Draws other histories with given targets.
        appends_mask: Whether the objective's query is a mask behind the history.
    """

    def __init__(self, contrast: Contrast, table: TokenTable, same_target: SameTarget, *, appends_mask: bool) -> None:
        self.contrast, self.table, self.same_target, self.appends_mask = contrast, table, same_target, appends_mask

    def add_to(self, batch: dict[str, Any], sequences: Sequences, random: np.random.Generator) -> None:
        """Add both views of every history with a target; nothing if there are fewer than two."""
        histories, targets = before_last_target(sequences, self.table.first)
        if len(targets) < 2:
            return
        *views, batch[GROUP] = self.contrast.views(histories, targets, self.table, self.same_target, random)
        if self.appends_mask:
            views = [with_mask(view, self.table.mask) for view in views]
        first, second = views
        both = {"tokens": (first.tokens, second.tokens)}
        both |= {} if first.times is None or second.times is None else {"times": (first.times, second.times)}
        both |= {f"{FEATURE}{name}": (values, second.features[name]) for name, values in first.features.items()}
        batch |= {f"{VIEW}{name}": _stacked(*values) for name, values in both.items()}
        batch[f"{VIEW}lengths"] = np.concatenate([first.lengths, second.lengths])


def before_last_target(sequences: Sequences, first: int) -> tuple[Sequences, Ints]:
    """Events before the last one that may be predicted, of sequences with such an event, and that event's token."""
    predictable = sequences.predictable & (sequences.tokens >= first)
    predictable[:, 0] = False  # nothing stands before it
    rows = np.flatnonzero(predictable.any(axis=1))
    end = predictable.shape[1] - 1 - predictable[rows, ::-1].argmax(axis=1)
    seq = int(end.max(initial=1))
    inside = np.arange(seq) < end[:, None]

    def cut(values: Ints) -> Ints:
        return np.where(inside, values[rows, :seq], 0)

    histories = Sequences(
        tokens=cut(sequences.tokens),
        lengths=end,
        open_ended=True,
        times=None if sequences.times is None else cut(sequences.times),
        features={name: cut(values) for name, values in sequences.features.items()},
    )
    return histories, sequences.tokens[rows, end]


def with_mask(histories: Sequences, mask: int) -> Sequences:
    """Histories with a mask at the end, which has the last event's time and no features, as at test time."""
    rows, end = np.arange(len(histories.tokens)), histories.lengths

    def longer(values: Ints) -> Ints:
        return np.pad(values, ((0, 0), (0, 1)))

    tokens, times = longer(histories.tokens), histories.times
    tokens[rows, end] = mask
    if times is not None:
        last, times = times[rows, end - 1], longer(times)
        times[rows, end] = last
    features = {name: longer(values) for name, values in histories.features.items()}
    return Sequences(tokens=tokens, lengths=end + 1, open_ended=True, times=times, features=features)


def _stacked(first: Ints, second: Ints) -> Ints:
    """Rows of both, padded to one width."""
    seq = max(first.shape[1], second.shape[1])
    return np.concatenate([np.pad(values, ((0, 0), (0, seq - values.shape[1]))) for values in (first, second)])


class ContrastiveLoss(nn.Module):
    """Any objective's module with InfoNCE of two views of each history beside it, both views against all others.

    Args:
        objective: The objective's module.
        contrast: Weight and temperature.

    Raises:
        InputError: The views differ by dropout alone, and there is none.
    """

    def __init__(self, objective: ObjectiveModule, contrast: Contrast) -> None:
        super().__init__()
        config = objective.prediction.encoder.config
        if contrast.needs_dropout and not config.dropout and not config.layer_drop:
            raise InputError(
                "encoder.dropout is 0, but the two views of second_loss differ by dropout alone; 0.1 is usual."
            )
        self.objective, self.weight, self.temperature = objective, contrast.weight, contrast.temperature

    @property
    def prediction(self) -> TokenPrediction:
        """The objective's."""
        return self.objective.prediction

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Loss of the objective plus the weighted one of views."""
        batch = self.read(batch)
        return self.loss_of(self.prediction.encode(batch), batch)

    def read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As the objective reads it."""
        return self.objective.read(batch)

    def loss_of(self, encoded: EncoderOutput, batch: Batch) -> Tensor:
        """Sum of both losses; that of views is 0 where a batch has none."""
        loss = self.objective.loss_of(encoded, batch)
        return loss + self.weight * self.contrast(batch) if GROUP in batch else loss

    def contrast(self, batch: Batch) -> Tensor:
        """InfoNCE of the views' vectors, each of which is the output at the query's position."""
        views = {name.removeprefix(VIEW): values for name, values in batch.items() if name.startswith(VIEW)}
        tokens = self.prediction.encode(views).tokens
        starts = torch.arange(len(tokens), device=tokens.device) * tokens.shape[1]
        first, second = at(tokens, starts + views["lengths"] - 1).chunk(2)
        group = batch[GROUP].repeat(2)
        same = group[:, None] == group[None, :]
        queries, keys = torch.cat([first, second]), torch.cat([second, first])
        return info_nce(queries, keys, temperature=self.temperature, same=same)

    def soft_targets(self, teacher: Any, taught: EncoderOutput, batch: Batch) -> Any:
        """The objective's: a teacher says nothing of views."""
        return self.objective.soft_targets(teacher, taught, batch)

    def soft_loss(self, encoded: EncoderOutput, targets: Any, batch: Batch, temperature: float) -> Tensor:
        """The objective's."""
        return self.objective.soft_loss(encoded, targets, batch, temperature)

    def metrics(self, encoded: EncoderOutput, batch: Batch) -> dict[str, tuple[float, int]]:
        """The objective's."""
        return self.objective.metrics(encoded, batch)
