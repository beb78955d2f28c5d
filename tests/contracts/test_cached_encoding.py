"""Contract of every layer, fusion, neck and kind of position: served by a cache with the same outputs, or refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recsys_bert.encoder.cached import CachedEncoder
from recsys_bert.encoder.config import EncoderConfig, FeatureConfig
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.necks import NECKS
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError

TOKENS = torch.tensor([[3, 4, 5, 6, 7, 2, 9], [8, 3, 9, 5, 0, 0, 0], [4, 6, 0, 0, 0, 0, 0]])
LENGTHS = torch.tensor([7, 4, 2])
PREFIX = torch.tensor([3, 2, 1])
TAIL = torch.tensor([[5, 1, 7], [2, 9, 3], [6, 6, 8]])


def encoder_with(**settings) -> Encoder:
    torch.manual_seed(0)
    defaults = {"vocab_size": 12, "dim": 8, "n_layers": 3, "max_len": 12, "position": "start", "init_std": 1.0}
    config = EncoderConfig(**defaults | {"residual_init_scale": 1.0, "n_segments": 2} | settings)
    encoder = Encoder(config).eval()
    for name, weight in encoder.named_parameters():
        if "bias" in name and "norm" not in name:
            torch.nn.init.normal_(weight)  # so that no effect of a bias hides below a tolerance
    return encoder


def whole(encoder: Encoder, prefix: torch.Tensor | None) -> torch.Tensor:
    """Outputs of one pass over beginnings and tails, at the last token of the beginning and at the tail."""
    rows = []
    for row, length in enumerate(LENGTHS.tolist()):
        tokens = torch.cat([TOKENS[row, :length], TAIL[row]])[None]
        segments = (torch.arange(tokens.shape[1]) >= PREFIX[row])[None].long()
        encoded = encoder(tokens, segments=segments, prefix=None if prefix is None else prefix[row : row + 1])
        rows.append(encoded.tokens[0, length - 1 :])
    return torch.stack(rows)


def grown(encoder: Encoder, prefix: torch.Tensor | None, order: list[int]) -> torch.Tensor:
    """The same outputs, a token at a time; after the first one rows are put in another order."""
    cached = CachedEncoder(encoder, 12)
    segments = (torch.arange(TOKENS.shape[1]) >= PREFIX[:, None]).long() * (TOKENS != 0)
    begun = cached.begin(TOKENS, segments=segments, prefix=prefix)
    outputs = [begun[torch.arange(3), LENGTHS - 1][order]]
    cached.select(torch.tensor(order))
    outputs += [cached.step(TAIL[order, n], segments=torch.ones(len(order), dtype=torch.long)) for n in range(3)]
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("attention", ["causal", "prefix"])
@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_cached_equals_uncached_in_every_layer_or_it_is_refused_by_name(layer, attention):
    if not getattr(find("layer", layer, LAYERS), "cacheable", False):
        with pytest.raises(InputError, match=f"layer '{layer}' filters a history as a whole and cannot be causal"):
            encoder_with(layer=layer, attention=attention)
        return
    encoder = encoder_with(layer=layer, attention=attention)
    prefix = PREFIX if attention == "prefix" else None
    with torch.no_grad():
        expected = whole(encoder, prefix)
    order = [2, 0, 0, 1]
    torch.testing.assert_close(grown(encoder, prefix, order), expected[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["causal", "prefix"])
@pytest.mark.parametrize(
    "settings",
    [
        {"position": "rope"},
        {"position": "alibi"},
        {"position": "none"},
        {"position": "rope", "layer": "gated", "fusion": "scalar_mix"},
        {"fusion": "token_mix", "embedding_dim": 4, "embedding_norm": True},
        {"fusion": "layer_attention", "share_layers": True},
        {"fusion": "pool"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_cached_equals_uncached_with_every_position_and_fusion(settings, attention):
    encoder = encoder_with(attention=attention, **settings)
    prefix = PREFIX if attention == "prefix" else None
    with torch.no_grad():
        torch.testing.assert_close(grown(encoder, prefix, [0, 1, 2]), whole(encoder, prefix), atol=1e-5, rtol=1e-5)


def test_rows_of_one_length_need_no_mask_and_give_the_same(monkeypatch):
    encoder = encoder_with(attention="causal")
    tokens, cached = torch.tensor([[3, 4, 5], [6, 7, 2]]), CachedEncoder(encoder, 8)
    begun = cached.begin(tokens)
    steps = [cached.step(torch.tensor([9, 4])), cached.step(torch.tensor([1, 2]))]
    with torch.no_grad():
        longer = encoder(torch.cat([tokens, torch.tensor([[9, 1], [4, 2]])], 1)).tokens
    torch.testing.assert_close(torch.cat([begun, torch.stack(steps, 1)], 1), longer, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="9 positions; there is room for 8"):
        for _ in range(4):
            cached.step(torch.tensor([1, 1]))


def test_in_prefix_attention_the_source_sees_itself_and_never_the_target():
    encoder = encoder_with(attention="prefix", n_layers=1)
    tokens, prefix = TOKENS[:1], torch.tensor([3])
    before = encoder(tokens, prefix=prefix).tokens[0]
    for position in range(7):
        changed = tokens.clone()
        changed[0, position] = 11
        differs = ~torch.isclose(encoder(changed, prefix=prefix).tokens[0], before).all(-1)
        expected = [position < 3 or reader >= position for reader in range(7)]
        assert differs.tolist() == expected, position
    whole_row = encoder(tokens, prefix=torch.tensor([7])).tokens
    bidirectional = Encoder(replace(encoder.config, attention="bidirectional")).eval()
    bidirectional.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(whole_row, bidirectional(tokens).tokens)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "bidirectional"}, "attention is 'bidirectional', so that every output changes"),
        ({"position": "last"}, "position is 'last', counted from the last token"),
        ({"ngrams": 2}, "ngrams look at tokens before"),
        ({"time_gaps": True}, "it reads times"),
        ({"features": (FeatureConfig(name="genre", size=3),)}, "it reads side features"),
        *[({"neck": name}, f"neck '{name}' keeps no state") for name in sorted(NECKS)],
        (
            {"layer": "outside_parts:PlainLayer"},
            "layer 'outside_parts:PlainLayer' keeps",
        ),
    ],
)
def test_what_no_cache_serves_is_refused_by_name(settings, message, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with pytest.raises(InputError, match=message):
        CachedEncoder(encoder_with(**{"attention": "causal", **settings}), 8)


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"attention": "prefix"}, {}, "pass the length of each row's prefix"),
        ({"attention": "causal"}, {"prefix": PREFIX}, "attention is 'causal': leave it out"),
        ({"attention": "prefix"}, {"prefix": PREFIX.int()}, r"int64 \[3\]"),
        ({"attention": "prefix"}, {"prefix": torch.tensor([3, 5, 1])}, "prefix is longer than its row"),
    ],
)
def test_a_prefix_that_does_not_fit_is_refused(settings, arguments, message):
    encoder = encoder_with(**settings)
    with pytest.raises(InputError, match=message):
        encoder(TOKENS, **arguments)
    with pytest.raises(InputError, match=message):
        CachedEncoder(encoder, 8).begin(TOKENS, **arguments)


def test_a_prefix_counts_what_the_mask_counts():
    mask = torch.ones_like(TOKENS, dtype=torch.bool)  # row 0 is a token here
    assert encoder_with(attention="prefix")(TOKENS, mask=mask, prefix=torch.tensor([7, 5, 3])).mask.all()


def test_settings_that_would_tell_of_later_tokens_are_refused():
    with pytest.raises(InputError, match="exact_match tells a position of tokens after it"):
        EncoderConfig(attention="prefix", exact_match=2, n_segments=2, position="start")
    with pytest.raises(InputError, match="position is 'last', which tells how many tokens follow"):
        EncoderConfig(attention="prefix")
    with pytest.raises(InputError, match="no attention is called 'casual'; did you mean 'causal'"):
        EncoderConfig(attention="casual")


def test_steps_out_of_order_are_refused():
    cached = CachedEncoder(encoder_with(attention="causal"), 8)
    with pytest.raises(InputError, match="no sequence was begun"):
        cached.step(torch.tensor([1]))
    with pytest.raises(InputError, match="has no token to begin with"):
        cached.begin(torch.tensor([[1, 2], [0, 0]]))
    for tokens, message in (
        ([[0, 3, 4]], "padding .* before a token"),
        ([[3, 12]], "rows from 3 to 12; the table has"),
    ):
        with pytest.raises(InputError, match=message):
            cached.begin(torch.tensor(tokens))
    cached.begin(TOKENS)
    with pytest.raises(InputError, match="begun already"):
        cached.begin(TOKENS)
    with pytest.raises(InputError, match="13 positions are asked for; this encoder reads 1 to 12"):
        CachedEncoder(encoder_with(attention="causal"), 13)
