"""Initialise an embedding with word vectors."""

from collections.abc import Sequence

import torch
from torch import nn

from nlp_tasks.word_vectors.files import WordVectors
from recsys_bert.errors import InputError


@torch.no_grad()
def start_rows(table: nn.Embedding, names: Sequence[str], vectors: WordVectors, setting: str) -> int:
    """Copy vectors into the rows of words that have one; other rows stay.

    The vectors are scaled by one factor to the root mean square of the embedding, the scale that the model expects.

    Args:
        table: The embedding, ``[rows, dim]``.
        names: Word of each row, "" for rows that are no word.
        vectors: The vectors.
        setting: Name of the setting of ``dim``, for the message.

    Returns:
        Number of initialised rows.

    Raises:
        InputError: The vectors have another dimension.
    """
    weight, width = table.weight, vectors.table.shape[1]
    if width != weight.shape[1]:
        raise InputError(f"the word vectors are {width} wide, the table {weight.shape[1]}. Set {setting} to {width}.")
    vector_rows = torch.from_numpy(vectors.rows(names))
    rows = (vector_rows >= 0).nonzero()[:, 0]
    if len(rows):
        values = torch.from_numpy(vectors.table)[vector_rows[rows]].to(weight)
        size = (weight.square().mean() / values.square().mean().clamp(min=1e-12)).sqrt()
        weight[rows.to(weight.device)] = values * size
    return len(rows)
