"""Items by their text alone: an encoder whose item table holds text vectors, so that it can go to another log.

Only the map from text vectors to the encoder's width is learned (``encoder.embedding_dim`` is that of the vectors), as
in UniSRec (https://arxiv.org/abs/2206.05941), whose map is a mixture of experts; here it is one linear map, and another
one back to the vectors' width on the output side. Pretrained on one log or several, the encoder reads any log whose
items have vectors of the same space.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.user_encoder.checkpoint import BY_VECTORS, read_settings
from recsys_bert.user_encoder.growth import copy_grown

TOKENS = "embeddings.token."
Floats = NDArray[np.float32]


def check_vectors(vectors: NDArray[np.floating], dataset: ClickDataset) -> Floats:
    """Text vectors of all training items.

    Args:
        vectors: ``[n_rows, d]`` by catalogue row; zeros where an item has no text.
        dataset: The log.

    Returns:
        ``[vocab_size, d]``.

    Raises:
        InputError: Another number of rows, values that are not finite, or no training item has a vector.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) != dataset.n_rows:
        raise InputError(
            f"item_vectors has shape {list(vectors.shape)}; {dataset.folder} has {dataset.n_rows:,} catalogue rows, "
            "each with one vector."
        )
    if not np.isfinite(vectors).all():
        raise InputError(f"item_vectors has {int((~np.isfinite(vectors)).any(1).sum()):,} rows with NaN or infinity.")
    rows = vectors[: dataset.vocabulary.size]
    if not rows[dataset.vocabulary.first_item :].any():
        raise InputError(f"no training item of {dataset.folder} has a text vector.")
    return rows


def by_vectors(config: EncoderConfig, vectors: Floats) -> EncoderConfig:
    """Sizes of an encoder whose item table holds ``vectors``.

    Raises:
        InputError: ``embedding_dim`` is another.
    """
    width = vectors.shape[1]
    if config.embedding_dim not in (None, width):
        raise InputError(
            f"encoder.embedding_dim is {config.embedding_dim}, but item vectors are {width} wide. Leave it out."
        )
    return replace(config, embedding_dim=width)


@torch.no_grad()
def place_vectors(encoder: Encoder, vectors: Floats, first_item: int, trained: bool = False) -> None:
    """Put text vectors into the item table, as long as random ones are on average.

    Items without text keep their random vector.

    Args:
        encoder: With ``by_vectors``' sizes.
        vectors: ``[vocab_size, d]``.
        first_item: First row that is an item.
        trained: Let training move them, each item by itself; False freezes the table.
    """
    table = encoder.embeddings.token.weight
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    has = lengths[:, 0] > 0
    has[:first_item] = False
    norm = encoder.config.init_std * table.shape[1] ** 0.5
    table[torch.from_numpy(has)] = torch.from_numpy(vectors[has] / lengths[has] * norm).to(table)
    table.requires_grad_(trained)


def load_for_other_log(run: Path, dataset: ClickDataset, vectors: Floats) -> Encoder:
    """Load an encoder of items by text for another log: its weights, and that log's text vectors as the item table.

    Args:
        run: Of ``pretrain`` with item vectors.
        dataset: The log.
        vectors: Of the same space, ``[vocab_size, d]``.

    Raises:
        InputError: It holds no encoder, one of ids, or one for vectors of another width.
    """
    if read_settings(run).get("items") != BY_VECTORS:
        raise InputError(
            f"{run} is an encoder of ids, which mean nothing in another log. Pretrain one with item vectors: its items "
            "are their texts alone."
        )
    known = Encoder.load(run / "encoder")
    width = known.embeddings.token.weight.shape[1]
    if width != vectors.shape[1]:
        raise InputError(
            f"{run} reads item vectors that are {width} wide, these are {vectors.shape[1]}. Make all of them in one "
            "space: by the same fitted map, or the same text encoder."
        )
    encoder = Encoder(replace(known.config, vocab_size=dataset.vocabulary.size))
    copy_grown(encoder, known.state_dict(), without=(TOKENS,))
    first = dataset.vocabulary.first_item
    with torch.no_grad():
        encoder.embeddings.token.weight[:first] = known.embeddings.token.weight[:first]
    place_vectors(encoder, vectors, first)
    return encoder
