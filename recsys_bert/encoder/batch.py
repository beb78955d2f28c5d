"""One way from a batch to the encoder."""

from collections.abc import Mapping

from torch import Tensor

from recsys_bert.encoder.model import Encoder, EncoderOutput


def encode_batch(
    encoder: Encoder, batch: Mapping[str, Tensor], features: dict[str, Tensor] | None = None
) -> EncoderOutput:
    """Encode a batch: its tokens, and of its segments and times what the encoder reads.

    Args:
        encoder: The encoder.
        batch: ``tokens [batch, seq]``; ``segments`` and ``times`` of the same shape, if there are any.
        features: Side features of the tokens by name.
    """
    segments = batch.get("segments") if encoder.config.n_segments > 1 else None
    times = batch.get("times") if encoder.config.needs_times else None
    encoded: EncoderOutput = encoder(batch["tokens"], segments=segments, features=features, times=times)
    return encoded
