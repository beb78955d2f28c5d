"""Histories as sequences for an objective."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.batches import Crops
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.lineage import EVENT_TYPE
from recsys_bert.clicks.vocabulary import MASK, Vocabulary
from recsys_bert.objectives.sequences import Sequences, TokenTable


def item_table(vocabulary: Vocabulary) -> TokenTable:
    """Rows of the item table; those of unknown items are never predicted."""
    return TokenTable(mask=MASK, first=vocabulary.first_item, size=vocabulary.size)


def target_events(dataset: ClickDataset, target_types: NDArray[Any]) -> NDArray[np.bool_]:
    """True on events that may be targets: of a known item and, if there are any, of the types with these codes."""
    histories = dataset.histories
    known: NDArray[np.bool_] = histories.items >= dataset.vocabulary.first_item
    if histories.event_types is None or not len(target_types):
        return known
    return known & np.isin(histories.event_types, target_types)


def history_sequences(crops: Crops, vocabulary: Vocabulary, target_types: NDArray[Any] | None = None) -> Sequences:
    """Crops of histories as sequences; unknown items stand for many and are context, never a target.

    Args:
        crops: Histories.
        vocabulary: Items.
        target_types: Codes of the event types that are targets; None or empty: all.
    """
    types, targeted = crops.event_types, None
    if types is not None and target_types is not None and len(target_types):
        targeted = np.isin(types, target_types)
    return Sequences(
        tokens=crops.items,
        lengths=crops.lengths,
        open_ended=True,
        allowed=crops.items >= vocabulary.first_item,
        times=crops.times,
        weights=crops.weights,
        targeted=targeted,
        features={} if types is None else {EVENT_TYPE: types},
    )
