"""Inputs of an encoder that generates."""

import pytest
import torch

from recsys_bert.decoding.encoder_tokens import EncoderTokens
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "an input is empty"),
        ([[3], []], "an input is empty"),
        ([[3, 4, 0], [5]], "an input holds token 0, which is padding"),
        ([[3] * 7], "the longest input has 7 tokens and max_length is 3, but the encoder reads 8"),
    ],
)
def test_inputs_that_cannot_be_continued_are_refused(inputs, message):
    torch.manual_seed(0)
    sizes = {"vocab_size": 9, "dim": 8, "n_layers": 1, "n_heads": 2, "max_len": 8}
    encoder = Encoder(EncoderConfig(attention="causal", position="start", **sizes)).eval()
    with pytest.raises(InputError, match=message):
        EncoderTokens(encoder, lambda x: x @ encoder.embeddings.token.weight.T, inputs, 3)
