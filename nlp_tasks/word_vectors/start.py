"""Start a table of a model on word vectors."""

from collections.abc import Sequence

import torch
from torch import nn

from nlp_tasks.word_vectors.files import WordVectors
from recsys_bert.errors import InputError


@torch.no_grad()
def start_rows(table: nn.Embedding, names: Sequence[str], vectors: WordVectors, setting: str) -> int:
    """Start those rows of a table on vectors whose words have one; the others stay as they are.

    All vectors are multiplied by one number, so that they are as long as the table's rows were on the whole: a model
    expects its tables in the size that it gave them.

    Args:
        table: ``[rows, dim]``.
        names: Word of each row, "" where a row is no word.
        vectors: The vectors.
        setting: Says how wide the table is, for the message.

    Returns:
        How many rows were started.

    Raises:
        InputError: The vectors have another width.
    """
    weight, width = table.weight, vectors.table.shape[1]
    if width != weight.shape[1]:
        raise InputError(f"the word vectors are {width} wide, the table {weight.shape[1]}. Set {setting} to {width}.")
    found = torch.from_numpy(vectors.rows(names))
    rows = (found >= 0).nonzero()[:, 0]
    if len(rows):
        given = torch.from_numpy(vectors.table)[found[rows]].to(weight)
        size = (weight.square().mean() / given.square().mean().clamp(min=1e-12)).sqrt()
        weight[rows.to(weight.device)] = given * size
    return len(rows)
