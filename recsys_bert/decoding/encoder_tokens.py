"""Next tokens of an encoder with a key/value cache."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recsys_bert.encoder.cached import CachedEncoder
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError

Logits = Callable[[Tensor], Tensor]
"""Logits ``[n, vocab]`` of encoder outputs ``[n, out_dim]``."""


class EncoderTokens:
    """``NextTokens`` of an encoder; what each input brings is segment 0.

    Args:
        encoder: With causal or prefix attention; in prefix attention all of an input is the prefix.
        logits: Output layer.
        inputs: Tokens of each input; none is empty.
        max_length: Tokens that will be generated at most.
        segment: Segment of what is generated, where the encoder has segments.

    Raises:
        InputError: The encoder cannot generate, an input is empty or holds padding, or one and what is to be generated
            are longer than it reads.
    """

    def __init__(
        self,
        encoder: Encoder,
        logits: Logits,
        inputs: Sequence[Sequence[int]],
        max_length: int,
        *,
        segment: int = 1,
    ) -> None:
        longest = max(map(len, inputs), default=0)
        if not longest or min(map(len, inputs)) == 0:
            raise InputError("an input is empty; give each at least one token.")
        capacity = longest + max_length - 1  # the last token is never read
        if capacity > encoder.config.max_len:
            raise InputError(
                f"the longest input has {longest} tokens and max_length is {max_length}, but the encoder reads "
                f"{encoder.config.max_len}; shorten one of them."
            )
        self._logits, self._cached = logits, CachedEncoder(encoder, capacity)
        self._device = encoder.embeddings.token.weight.device
        self._inputs = torch.zeros(len(inputs), longest, dtype=torch.long)
        for row, tokens in enumerate(inputs):
            self._inputs[row, : len(tokens)] = torch.tensor(tokens)
        if int((self._inputs != 0).sum()) < sum(map(len, inputs)):
            raise InputError("an input holds token 0, which is padding; leave it out.")
        self._segment = segment if encoder.config.n_segments > 1 else None

    @torch.inference_mode()
    def begin(self) -> Tensor:
        """Logits of the first new token of each input, ``[inputs, vocab]``."""
        tokens = self._inputs.to(self._device)
        lengths = (tokens != 0).sum(1)
        prefix = lengths if self._cached.encoder.config.attention == "prefix" else None
        outputs = self._cached.begin(tokens, prefix=prefix)
        return self._logits(outputs[torch.arange(len(tokens), device=tokens.device), lengths - 1])

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens ``[rows]``; logits of the next ones."""
        segments = None if self._segment is None else torch.full_like(tokens, self._segment)
        return self._logits(self._cached.step(tokens, segments=segments))

    def select(self, rows: Tensor) -> None:
        """Keep these rows; see ``NextTokens``."""
        self._cached.select(rows)
