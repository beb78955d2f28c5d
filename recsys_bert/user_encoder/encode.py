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
    event_types: bool = False,
    batch_size: int = 128,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
) -> NDArray[np.float32]:
    """Run an encoder over all queries, sorted by length to pad little.

    Args:
        queries: Histories to encode.
        encode: ``(rows, lengths [batch], users [batch], times or None, event_types or None) -> [batch, d]``; the others
            are ``[batch, seq]``.
        max_len: Longest history; of a longer one the last items are read.
        times: Whether it reads timestamps.
        event_types: Whether it reads event types.
        batch_size: Queries at a time.
        device: Device of ``encode``.
        precision: Number format of products, as in ``TrainConfig``.

    Raises:
        InputError: No query, or no times for an encoder that reads them.
    """
    device = torch.device(device)
    order = np.argsort(np.minimum(queries.stop - queries.start, max_len), kind="stable")
    parts = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    bf16 = uses_bf16(precision, device)

    def encode_part(part: NDArray[np.int64]) -> NDArray[np.float32]:
        rows, lengths = queries[part].inputs(max_len)
        timestamps = queries[part].input_times(max_len) if times else None
        types = queries[part].input_event_types(max_len) if event_types else None
        arrays = (rows, lengths, queries.users[part], timestamps, types)
        tensors = (None if array is None else torch.from_numpy(array).long().to(device) for array in arrays)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            encoded: NDArray[np.float32] = encode(*tensors).float().cpu().numpy()
        return encoded

    vectors: NDArray[np.float32] | None = None
    with one_core_each(device, len(parts)) as each, Progress("encoding", len(queries), "users") as progress:
        for part, encoded in zip(parts, each(encode_part, parts), strict=True):
            if vectors is None:
                vectors = np.empty((len(queries), encoded.shape[1]), np.float32)
            vectors[part] = encoded
            progress.advance(len(part))
    if vectors is None:
        raise InputError("no history to encode: there are no queries.")
    return vectors
