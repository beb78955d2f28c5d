"""Initial item embeddings: random, or static embeddings of items as words of the training histories."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.encoder.model import Encoder
from recsys_bert.static_embeddings.config import GloveConfig, Word2VecConfig
from recsys_bert.static_embeddings.fit import fit_vectors
from recsys_bert.static_embeddings.glove import Glove
from recsys_bert.static_embeddings.ppmi import ppmi_vectors
from recsys_bert.static_embeddings.sequences import Sequences
from recsys_bert.static_embeddings.word2vec import Word2Vec

ItemInit = Literal["auto", "random", "ppmi", "item2vec", "item2vec_cbow", "glove"]

ITEM2VEC = Word2VecConfig(epochs=10)
"""Skip-gram on items (https://arxiv.org/abs/1603.04259)."""
ITEM2VEC_CBOW = Word2VecConfig(model="cbow", epochs=10, lr=0.05)
GLOVE = GloveConfig()

MOST_EVENTS = 10_000_000
"""Training events up to which ``auto`` takes PPMI, whose memory grows with the pairs that co-occur."""


def resolve_item_init(init: ItemInit, dataset: ClickDataset) -> ItemInit:
    """Settle ``auto``: PPMI, but random for logs too large for it and where nobody has two training events."""
    if init != "auto":
        return init
    lengths = dataset.histories.train_end - dataset.histories.offsets[:-1]
    return "ppmi" if lengths.max(initial=0) > 1 and lengths.sum() <= MOST_EVENTS else "random"


def init_items(encoder: Encoder, dataset: ClickDataset, init: ItemInit) -> None:
    """Initialise the item table of a new encoder; see ``init_table``."""
    init_table(encoder.embeddings.token.weight, dataset, init, encoder.config.init_std)


@torch.no_grad()
def init_table(table: torch.Tensor, dataset: ClickDataset, init: ItemInit, init_std: float) -> None:
    """Initialise a table of item vectors, in place.

    With static embeddings, items that stand near each other in training histories start near each other (see
    ``recsys_bert.static_embeddings``). Vectors are as long as random ones are on average, so that neither
    they nor the rest of the model dominate; an item without neighbours keeps its random one.

    Args:
        table: Random vectors ``[vocab_size, dim]``.
        dataset: The log.
        init: The method.
        init_std: Standard deviation of the random vectors' components.

    Raises:
        InputError: Nobody has two training events.
    """
    method = resolve_item_init(init, dataset)
    if method == "random":
        return
    sequences = item_sequences(dataset, TrainingEvents.of(dataset.histories))
    vectors = torch.from_numpy(_vectors(sequences, table.shape[1], method))
    lengths = vectors.norm(dim=1)
    has_neighbours = lengths > 0
    norm = init_std * table.shape[1] ** 0.5
    table[has_neighbours] = (vectors[has_neighbours] / lengths[has_neighbours, None] * norm).to(table)


def _vectors(sequences: Sequences, dim: int, method: str) -> NDArray[np.float32]:
    """Static embeddings ``[size, dim]``; 0 on rows that no sequence holds."""
    if method == "ppmi":
        return ppmi_vectors(sequences, dim)
    model: Word2Vec | Glove
    if method == "glove":
        model = Glove(sequences, replace(GLOVE, dim=dim))
    else:
        model = Word2Vec(sequences, replace(ITEM2VEC_CBOW if method == "item2vec_cbow" else ITEM2VEC, dim=dim))
    fit_vectors(model)
    has_events = sequences.counts > 0
    vectors = model.vectors - model.vectors[has_events].mean(axis=0)  # what all have in common tells none apart
    vectors[~has_events] = 0
    return vectors


def item_sequences(dataset: ClickDataset, events: TrainingEvents) -> Sequences:
    """Training events of every user in order, without unknown items."""
    first_item, size = dataset.vocabulary.first_item, dataset.vocabulary.size
    known = (events.items >= first_item) & (events.items < size)
    offsets = np.searchsorted(events.users[known], np.arange(dataset.histories.n_users + 1))
    return Sequences(events.items[known], offsets, size)
