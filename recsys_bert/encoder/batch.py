"""One way from a batch to the encoder."""

from collections.abc import Mapping

from torch import Tensor

from recsys_bert.encoder.model import Encoder, EncoderOutput

FEATURE = "feature."
"""Begins the names of a batch's side features of positions, ``[batch, seq]``, which no table of rows gives."""


def encode_batch(
    encoder: Encoder, batch: Mapping[str, Tensor], features: dict[str, Tensor] | None = None
) -> EncoderOutput:
    """Encode a batch: its tokens, and of its segments and times what the encoder reads.

    Args:
        encoder: The encoder.
        batch: ``tokens [batch, seq]``; ``segments``, ``times``, ``feature.NAME`` of the same shape, if there are any;
            ``prefix [batch]``, for prefix attention.
        features: Side features of the tokens by name.
    """
    segments = batch.get("segments") if encoder.config.n_segments > 1 else None
    times = batch.get("times") if encoder.config.needs_times else None
    names = [feature.name for feature in encoder.config.features if f"{FEATURE}{feature.name}" in batch]
    if names:
        features = {**(features or {}), **{name: batch[f"{FEATURE}{name}"] for name in names}}
    prefix = batch.get("prefix")
    encoded: EncoderOutput = encoder(batch["tokens"], segments=segments, features=features, times=times, prefix=prefix)
    return encoded
