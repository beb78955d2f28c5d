"""Initial item embeddings: random, or factorised PPMI of neighbours in the training histories."""

from typing import Literal

import numpy as np
import torch

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.encoder.model import Encoder
from recsys_bert.static_embeddings.ppmi import ppmi_vectors
from recsys_bert.static_embeddings.sequences import Sequences

ItemInit = Literal["auto", "random", "ppmi"]

MOST_EVENTS = 10_000_000
"""Training events up to which ``auto`` takes PPMI, whose memory grows with the pairs that co-occur."""


def resolve_item_init(init: ItemInit, dataset: ClickDataset) -> ItemInit:
    """Settle ``auto``: PPMI, but random for logs too large for it and where nobody has two training events."""
    if init != "auto":
        return init
    lengths = dataset.histories.train_end - dataset.histories.offsets[:-1]
    return "ppmi" if lengths.max(initial=0) > 1 and lengths.sum() <= MOST_EVENTS else "random"


@torch.no_grad()
def init_items(encoder: Encoder, dataset: ClickDataset, init: ItemInit) -> None:
    """Initialise the item table of a new encoder.

    With ``ppmi``, items that stand near each other in training histories start near each other
    (see ``recsys_bert.static_embeddings.ppmi``). Vectors are as long as random ones are on average, so that neither
    they nor the rest of the encoder dominate; an item without neighbours keeps its random one.

    Raises:
        InputError: Nobody has two training events.
    """
    if resolve_item_init(init, dataset) == "random":
        return
    table = encoder.embeddings.token.weight
    sequences = item_sequences(dataset, TrainingEvents.of(dataset.histories))
    vectors = torch.from_numpy(ppmi_vectors(sequences, table.shape[1]))
    lengths = vectors.norm(dim=1)
    has_neighbours = lengths > 0
    norm = encoder.config.init_std * table.shape[1] ** 0.5
    table[has_neighbours] = (vectors[has_neighbours] / lengths[has_neighbours, None] * norm).to(table)


def item_sequences(dataset: ClickDataset, events: TrainingEvents) -> Sequences:
    """Training events of every user in order, without unknown items."""
    first_item, size = dataset.vocabulary.first_item, dataset.vocabulary.size
    known = (events.items >= first_item) & (events.items < size)
    offsets = np.searchsorted(events.users[known], np.arange(dataset.histories.n_users + 1))
    return Sequences(events.items[known], offsets, size)
