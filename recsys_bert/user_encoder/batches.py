"""Histories as sequences for an objective."""

from recsys_bert.clicks.batches import Crops
from recsys_bert.clicks.vocabulary import MASK, Vocabulary
from recsys_bert.objectives.sequences import Sequences, TokenTable


def item_table(vocabulary: Vocabulary) -> TokenTable:
    """Rows of the item table; those of unknown items are never predicted."""
    return TokenTable(mask=MASK, first=vocabulary.first_item, size=vocabulary.size)


def history_sequences(crops: Crops, vocabulary: Vocabulary) -> Sequences:
    """Crops of histories as sequences; unknown items stand for many and are context, never a target."""
    return Sequences(
        tokens=crops.items,
        lengths=crops.lengths,
        open_ended=True,
        allowed=crops.items >= vocabulary.first_item,
        times=crops.times,
    )
