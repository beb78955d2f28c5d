"""Encode histories: one vector a query."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.devices import one_core_each, uses_bf16
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.training.config import Precision


def last_states(
    encoder: Encoder,
    rows: Tensor,
    lengths: Tensor,
    features: dict[str, Tensor] | None,
    times: Tensor | None = None,
) -> Tensor:
    """Output at the last position of each history, ``[batch, out_dim]``.

    Rows past the encoder's table (items without training events) are read as unknown, with their own features.
    """
    tokens = rows.masked_fill(rows >= encoder.config.vocab_size, UNKNOWN)
    return encoder.last_position(tokens, lengths, features=features, times=times)


def encode_queries(
    queries: Queries,
    encode: Any,
    max_len: int,
    *,
    times: bool = False,
    batch_size: int = 128,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
) -> NDArray[np.float32]:
    """Run an encoder over all queries, sorted by length to pad little.

    Args:
        queries: What is asked.
        encode: ``(rows [batch, seq], lengths [batch], users [batch], times [batch, seq] or None) -> [batch, d]``.
        max_len: Newest items that are read.
        times: Whether it reads when they were chosen.
        batch_size: Queries at a time.
        device: Where ``encode`` wants its tensors.
        precision: Number format of products, as in ``TrainConfig``.

    Raises:
        InputError: Nobody is asked about, or times are read and there are none.
    """
    device = torch.device(device)
    order = np.argsort(np.minimum(queries.stop - queries.start, max_len), kind="stable")
    parts = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    bf16 = uses_bf16(precision, device)

    def encode_part(part: NDArray[np.int64]) -> NDArray[np.float32]:
        rows, lengths = queries[part].inputs(max_len)
        timestamps = queries[part].input_times(max_len) if times else None
        given = (rows, lengths, queries.users[part], timestamps)
        moved = (None if array is None else torch.from_numpy(array).long().to(device) for array in given)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            found: NDArray[np.float32] = encode(*moved).float().cpu().numpy()
        return found

    vectors: NDArray[np.float32] | None = None
    with one_core_each(device, len(parts)) as each, Progress("encoding", len(queries), "users") as progress:
        for part, found in zip(parts, each(encode_part, parts), strict=True):
            if vectors is None:
                vectors = np.empty((len(queries), found.shape[1]), np.float32)
            vectors[part] = found
            progress.advance(len(part))
    if vectors is None:
        raise InputError("there is nobody to encode: no query was given.")
    return vectors
