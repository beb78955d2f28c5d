"""Encoder and NER head: what is trained, and what finds entities."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.inputs import Ints
from nlp_tasks.model import on_device, without_gradients
from nlp_tasks.tagging.batches import unit_batch
from nlp_tasks.tagging.config import NerHeadConfig
from nlp_tasks.tagging.heads import NER_HEADS
from nlp_tasks.tagging.inputs import UnitInputs
from nlp_tasks.tagging.mrc import as_sentences, asks, flat, nested
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.encoder.parts import build
from recsys_bert.objectives.auxiliary import LastLayer, weighed


class NerModel(nn.Module):
    """Vectors of units, each that of its first sub-token, and a head that finds entities in them.

    Args:
        encoder: The encoder.
        head: What finds entities.
        n_types: Types of entities.
        words: What the words of a lexicon add to units; None: there is no lexicon.
        auxiliary: Also learn from the last layer as it is, without words, through a head of its own.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: NerHeadConfig,
        n_types: int,
        *,
        words: nn.Module | None = None,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.n_types, self.words = encoder, n_types, words
        self.dropout = Dropout(head.dropout)
        dim: Any = encoder.out_dim if words is None else words.out_dim
        self.head: nn.Module = build("NER head", head.name, NER_HEADS, dim, n_types, options=head.options)
        self.auxiliary = _Auxiliary(encoder, head, n_types) if auxiliary else None

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        """What the head says of a batch.

        Args:
            batch: ``tokens`` and ``segments`` ``[rows, seq]``, ``places [examples, units]`` in the flattened rows, and
                bool ``real_units [examples, units]``; with a lexicon also ``words [k, 4]``.
        """
        return self.head(self._units(self.encode(batch).tokens, batch))

    def encode(self, batch: Mapping[str, Tensor]) -> EncoderOutput:
        """Run the encoder over the rows of a batch."""
        segments = batch["segments"] if self.encoder.config.n_segments > 1 else None
        encoded: EncoderOutput = self.encoder(batch["tokens"], segments=segments)
        return encoded

    def loss(self, batch: Mapping[str, Tensor], auxiliary_weight: float) -> Tensor:
        """Mean loss over the units of a batch, which has ``entities [k, 4]`` too."""
        encoded, mask, entities = self.encode(batch), batch["real_units"], batch["entities"]
        head: Any = self.head
        main: Tensor = head.loss(head(self._units(encoded.tokens, batch)), mask, entities)
        if self.auxiliary is None:
            return main
        own: Any = self.auxiliary.head
        last = self.dropout(_heard(self.auxiliary.last(encoded.states[-1]), batch))
        raw = own.loss(own(last), mask, entities)
        return weighed(main, raw, auxiliary_weight)

    def _units(self, states: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """``[rows, seq, dim] -> [examples, units, dim]``, words read along with them."""
        units = self.dropout(_heard(states, batch))
        return units if self.words is None else self.dropout(self.words(units, batch["real_units"], batch["words"]))


def _heard(states: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """``[rows, seq, dim] -> [examples, units, dim]``: that of each unit's first sub-token."""
    return states.flatten(0, 1)[batch["places"]]


class _Auxiliary(nn.Module):
    """A head on the last layer's states."""

    def __init__(self, encoder: Encoder, head: NerHeadConfig, n_types: int) -> None:
        super().__init__()
        self.last = LastLayer(encoder)
        dim = encoder.config.dim
        self.head: nn.Module = build("NER head", head.name, NER_HEADS, dim, n_types, options=head.options)


class NerLoss(nn.Module):
    """The loss that ``fit`` minimises.

    Args:
        model: The model.
        auxiliary_weight: Share of the loss on the last layer, where the model has one.
    """

    def __init__(self, model: NerModel, auxiliary_weight: float = 0.8) -> None:
        super().__init__()
        self.model, self.auxiliary_weight = model, auxiliary_weight

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss over the units of a batch; see ``NerModel.loss``."""
        return self.model.loss(batch, self.auxiliary_weight)


def find(model: NerModel, units: UnitInputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Entities of every example, without gradients.

    Args:
        model: Put into evaluation mode for the time being.
        units: The examples.

    Returns:
        Entities ``[k, 4]`` (sentence, first unit, one past the last, type) by sentence and place, and scores ``[k]``.
    """
    first_row = units.inputs.first_row
    head: Any = model.head
    entities, scores = [np.empty((0, 4), np.int64)], [np.empty(0)]

    def heard(examples: Ints) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        batch = on_device(model, unit_batch(units, first_row, examples))
        found: tuple[NDArray[np.int64], NDArray[np.float64]] = head.find(model(batch), batch["real_units"])
        return found

    unit = "questions" if asks(head) else "sentences"
    for examples, (found, score) in without_gradients(model, units.inputs, heard, "finding entities", unit):
        entities.append(np.concatenate([examples[found[:, 0], None], found[:, 1:]], axis=1))
        scores.append(score)
    every, probability = np.concatenate(entities), np.concatenate(scores)
    if asks(head):
        every = as_sentences(every, model.n_types)
        if not nested(head):
            kept = flat(every, probability)
            every, probability = every[kept], probability[kept]
    order = np.lexsort((every[:, 3], -every[:, 2], every[:, 1], every[:, 0]))
    return every[order], probability[order]
