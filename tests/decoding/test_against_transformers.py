"""Decoding with a cache against ``generate`` of transformers, on a tiny GPT-2 with random weights."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.decoding.constraints import Vocabulary
from recsys_bert.decoding.decode import decode

SIZE, EOS = 23, 5


class TheirTokens:
    """``NextTokens`` of their model, without a cache."""

    def __init__(self, model, inputs):
        self.model, self.tokens = model, torch.tensor(inputs)

    @torch.no_grad()
    def begin(self):
        return self.model(self.tokens).logits[:, -1]

    def step(self, tokens):
        self.tokens = torch.cat([self.tokens, tokens[:, None]], 1)
        return self.begin()

    def select(self, rows):
        self.tokens = self.tokens[rows]


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=SIZE, n_embd=16, n_layer=2, n_head=2, n_positions=32, initializer_range=0.6, bos_token_id=EOS
    )
    config.eos_token_id = config.pad_token_id = EOS
    return GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize(
    "settings",
    [
        {"search": "greedy"},
        {"search": "greedy", "repetition_penalty": 1.8},
        {"search": "greedy", "no_repeat_ngram": 2, "min_length": 6},
        {"beams": 3, "n_best": 3},
        {"beams": 4, "n_best": 2, "length_penalty": 0.3},
        {"beams": 4, "length_penalty": 2.0, "repetition_penalty": 1.4},
        {"beams": 3, "length_penalty": -1.0, "no_repeat_ngram": 2},
        {"beams": 3, "min_length": 5},
    ],
    ids=lambda settings: "-".join(f"{name}={value}" for name, value in settings.items()),
)
def test_tokens_are_those_of_generate(theirs, settings):
    inputs = [[3, 9, 4], [7, 7, 2], [11, 8, 20], [1, 2, 3]]
    config = DecodingConfig(max_length=12, **settings)
    beams = config.beams if config.search == "beam" else 1
    output = theirs.generate(
        torch.tensor(inputs),
        attention_mask=torch.ones(4, 3, dtype=torch.long),
        do_sample=False,
        num_beams=beams,
        num_return_sequences=config.n_best,
        max_new_tokens=config.max_length,
        min_new_tokens=config.min_length or None,
        repetition_penalty=config.repetition_penalty,
        no_repeat_ngram_size=config.no_repeat_ngram or None,
        **({"length_penalty": config.length_penalty, "early_stopping": "never"} if beams > 1 else {}),
    )
    expected = [row[3:].tolist() for row in output]
    expected = [tuple(row[: row.index(EOS)] if EOS in row else row) for row in expected]
    ours = decode(TheirTokens(theirs, inputs), config, Vocabulary(stop=(EOS,)), history=inputs)
    assert [one.tokens for some in ours for one in some] == expected
    if settings == {"beams": 3, "n_best": 3}:
        assert len({len(tokens) for tokens in expected}) > 1  # some end, some do not
