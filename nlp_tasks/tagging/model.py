"""Tagging model: encoder, lexicon layer and tagging head; its loss and its predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.inputs import Ints
from nlp_tasks.model import on_device, without_gradients
from nlp_tasks.tagging.batches import word_batch
from nlp_tasks.tagging.config import TaggingHeadConfig
from nlp_tasks.tagging.heads import TAGGING_HEADS
from nlp_tasks.tagging.inputs import WordInputs
from nlp_tasks.tagging.mrc import as_sentences, is_mrc, is_nested, without_overlaps
from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.encoder.parts import build
from recsys_bert.objectives.auxiliary import LastLayer, weighed


class TaggingModel(nn.Module):
    """Word vectors, each that of the first sub-token, and a head that predicts entities from them.

    Args:
        encoder: The encoder.
        head: The tagging head.
        n_types: Types of entities.
        lexicon: Lexicon layer; None: there is no lexicon.
        auxiliary: Auxiliary loss on the last layer, without the lexicon, through a head of its own.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: TaggingHeadConfig,
        n_types: int,
        *,
        lexicon: nn.Module | None = None,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.n_types, self.lexicon, self.head_config = encoder, n_types, lexicon, head
        self.dropout = Dropout(head.dropout)
        dim: Any = encoder.out_dim if lexicon is None else lexicon.out_dim
        self.head: nn.Module = build("tagging head", head.name, TAGGING_HEADS, dim, n_types, options=head.options)
        self.auxiliary = _Auxiliary(encoder, head, n_types) if auxiliary else None

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        """Head outputs.

        Args:
            batch: See ``word_batch``.
        """
        return self.head(self.word_vectors(batch))

    def word_vectors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Input of the head, ``[examples, words, dim]``."""
        return self._words(self.encode(batch).tokens, batch)

    def encode(self, batch: Mapping[str, Tensor]) -> EncoderOutput:
        """Encoder outputs."""
        return encode_batch(self.encoder, batch)

    def loss(self, batch: Mapping[str, Tensor], auxiliary_weight: float) -> Tensor:
        """Mean loss over the words of a batch with ``entities [k, 4]``."""
        encoded, mask, entities = self.encode(batch), batch["word_mask"], batch["entities"]
        head: Any = self.head
        main: Tensor = head.loss(head(self._words(encoded.tokens, batch)), mask, entities)
        if self.auxiliary is None:
            return main
        auxiliary_head: Any = self.auxiliary.head
        last = self.dropout(_at_words(self.auxiliary.last(encoded.states[-1]), batch))
        raw = auxiliary_head.loss(auxiliary_head(last), mask, entities)
        return weighed(main, raw, auxiliary_weight)

    def _words(self, states: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Word vectors through the lexicon layer, ``[rows, seq, dim] -> [examples, words, dim]``."""
        words = self.dropout(_at_words(states, batch))
        if self.lexicon is None:
            return words
        return self.dropout(self.lexicon(words, batch["word_mask"], batch["matches"]))


def _at_words(states: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Vector of every word's first sub-token, ``[rows, seq, dim] -> [examples, words, dim]``."""
    return states.flatten(0, 1)[batch["word_positions"]]


class _Auxiliary(nn.Module):
    """Tagging head on the last layer's states."""

    def __init__(self, encoder: Encoder, head: TaggingHeadConfig, n_types: int) -> None:
        super().__init__()
        self.last = LastLayer(encoder)
        dim = encoder.config.dim
        self.head: nn.Module = build("tagging head", head.name, TAGGING_HEADS, dim, n_types, options=head.options)


class TaggingLoss(nn.Module):
    """The loss that ``fit`` minimises.

    Args:
        model: The model.
        auxiliary_weight: Share of the auxiliary loss, where the model has one.
    """

    def __init__(self, model: TaggingModel, auxiliary_weight: float = 0.8) -> None:
        super().__init__()
        self.model, self.auxiliary_weight = model, auxiliary_weight

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss over the words of a batch; see ``TaggingModel.loss``."""
        return self.model.loss(batch, self.auxiliary_weight)


def predict_entities(model: TaggingModel, words: WordInputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Predict the entities of all examples, without gradients.

    Args:
        model: Put into evaluation mode for the time being.
        words: The examples.

    Returns:
        Entities ``[k, 4]`` (sentence, first word, one past the last, type) by sentence and position, and scores
        ``[k]``.
    """
    first_row = words.inputs.first_row
    head: Any = model.head
    entities, scores = [np.empty((0, 4), np.int64)], [np.empty(0)]

    def decode(examples: Ints) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        batch = on_device(model, word_batch(words, first_row, examples))
        decoded: tuple[NDArray[np.int64], NDArray[np.float64]] = head.decode(model(batch), batch["word_mask"])
        return decoded

    noun = "queries" if is_mrc(head) else "sentences"
    for examples, (rows, probability) in without_gradients(model, words.inputs, decode, "tagging", noun):
        entities.append(np.concatenate([examples[rows[:, 0], None], rows[:, 1:]], axis=1))
        scores.append(probability)
    every, probability = np.concatenate(entities), np.concatenate(scores)
    if is_mrc(head):
        every = as_sentences(every, model.n_types)
        if not is_nested(head):
            best = without_overlaps(every, probability)
            every, probability = every[best], probability[best]
    order = np.lexsort((every[:, 3], -every[:, 2], every[:, 1], every[:, 0]))
    return every[order], probability[order]


def encode_words(model: TaggingModel, words: WordInputs) -> list[NDArray[np.float32]]:
    """Word vectors of every example, ``[words, dim]`` each, without gradients."""
    first_row = words.inputs.first_row

    def encode(examples: Ints) -> NDArray[np.float32]:
        vectors = model.word_vectors(on_device(model, word_batch(words, first_row, examples)))
        return vectors.float().cpu().numpy()

    encoded: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(words)
    for examples, vectors in without_gradients(model, words.inputs, encode, "encoding words", "sentences"):
        for example, rows in zip(examples.tolist(), vectors, strict=True):
            encoded[example] = rows[: words.lengths[example]]
    return encoded
