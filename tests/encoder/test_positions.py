"""Relative positions against transformers and the formula, in every form of attention."""

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import find
from recsys_bert.encoder.positions.alibi import Alibi
from recsys_bert.encoder.positions.rope import Rope
from recsys_bert.errors import InputError

REAL = torch.tensor([[True] * 5, [True, True, False, False, False]])
TOKENS = torch.tensor([[3, 4, 5, 6, 7, 2], [8, 3, 9, 0, 0, 0], [4, 0, 0, 0, 0, 0]])


def test_rope_equals_that_of_transformers():
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 5, 8)
    rotary = LlamaRotaryEmbedding(LlamaConfig(hidden_size=24, num_attention_heads=3))
    cos, sin = rotary(query, torch.arange(5)[None])
    rope = Rope(8, 3)
    torch.testing.assert_close((rope.rotate(query), rope.rotate(key)), apply_rotary_pos_emb(query, key, cos, sin))
    positions = torch.tensor([[4], [1]])
    torch.testing.assert_close(rope.rotate(query[:, :, :1], positions)[1], rope.rotate(query[:, :, [0, 0]])[1, :, 1:])


def test_rope_depends_on_the_distance_alone():
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    rope = Rope(8, 1)
    at = [
        rope.rotate(query, torch.tensor([[q]])) @ rope.rotate(key, torch.tensor([[k]])).mT for q, k in ((2, 0), (9, 7))
    ]
    torch.testing.assert_close(*at)


@pytest.mark.parametrize(
    ("n_heads", "slopes"),
    [(1, [2**-8]), (2, [2**-4, 2**-8]), (3, [2**-4, 2**-8, 2**-2]), (4, [2**-2, 2**-4, 2**-6, 2**-8])],
)
def test_alibi_is_minus_slope_times_distance(n_heads, slopes):
    position = torch.arange(4)
    bias = Alibi(4, n_heads).bias((position[:, None] - position)[None])[0]
    expected = [[[-slope * abs(q - k) for k in range(4)] for q in range(4)] for slope in slopes]
    assert bias.tolist() == expected


def attention_by_hand(attention, x, relative, causal, mask):
    """Softmax attention position by position."""
    query, key, value = attention.split_heads(attention.qkv(x))
    if isinstance(relative, Rope):
        query, key = relative.rotate(query), relative.rotate(key)
    mixed = torch.zeros_like(query)
    for batch, head, q in torch.cartesian_prod(*(torch.arange(n) for n in query.shape[:3])).tolist():
        keys = [k for k in range(x.shape[1]) if mask[batch, k] and (not causal or k <= q)]
        scores = torch.stack([query[batch, head, q] @ key[batch, head, k] for k in keys]) / query.shape[3] ** 0.5
        if isinstance(relative, Alibi):
            scores = scores - relative.slopes[head] * torch.tensor([abs(q - k) for k in keys])
        mixed[batch, head, q] = scores.softmax(0) @ value[batch, head, keys]
    return attention.merge_heads(mixed)


@pytest.mark.parametrize("relative", [Rope(4, 2), Alibi(4, 2)], ids=["rope", "alibi"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_applies_them_in_every_kernel(relative, causal):
    torch.manual_seed(0)
    attention, x = SelfAttention(8, 2), 3 * torch.randn(2, 5, 8)
    mask = AttentionMask(causal, None if causal else REAL[:, None, None], relative=relative)
    expected = attention_by_hand(attention, x, relative, causal, torch.ones_like(REAL) if causal else REAL)
    torch.testing.assert_close(attention(x, mask), expected)
    plain = AttentionMask(causal, mask.key_mask)
    assert not torch.allclose(attention(x, plain), expected, atol=1e-3)
    last = AttentionMask(causal, mask.key_mask, query_position=torch.tensor([4, 1]), relative=relative)
    torch.testing.assert_close(attention(x, last)[:, 0], expected[[0, 1], [4, 1]])
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(attention(x, mask).float(), expected, atol=0.05, rtol=0.1)


@pytest.mark.parametrize("position", ["rope", "alibi"])
@pytest.mark.parametrize("layer", sorted(LAYERS))
@pytest.mark.parametrize("causal", [False, True])
def test_a_layer_applies_them_or_is_refused_by_name(make, layer, position, causal):
    if not getattr(find("layer", layer, LAYERS), "relative_positions", False) or (causal and layer == "bsarec"):
        with pytest.raises(InputError, match=f"layer '{layer}'"):
            make(layer=layer, position=position, attention="causal" if causal else "bidirectional")
        return
    encoder = make(
        layer=layer, position=position, attention="causal" if causal else "bidirectional", residual_init_scale=1.0
    )
    assert [name for name, _ in encoder.named_parameters() if "position" in name] == []
    lengths = (TOKENS != 0).sum(1)
    with torch.no_grad():
        out = encoder(TOKENS).tokens
        torch.testing.assert_close(encoder.last_position(TOKENS, lengths), out[torch.arange(3), lengths - 1])
        torch.testing.assert_close(encoder(TOKENS[1:2, :3]).tokens[0], out[1, :3])
        swapped = TOKENS[:1, [1, 0, 2, 3, 4, 5]]
        assert not torch.allclose(encoder(swapped).tokens[0, 3], out[0, 3], atol=1e-4)  # their order counts
        if not causal and layer != "bsarec":  # whose filter knows distances by itself
            none = make(layer=layer, position="none", residual_init_scale=1.0)
            torch.testing.assert_close(none(swapped).tokens[0, 3], none(TOKENS[:1]).tokens[0, 3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"position": "rope", "dim": 6}, r"dim / n_heads is 3; it must be even"),
        ({"position": "rope", "n_layers": 0, "neck": "bilstm"}, "which is of the layers' attention, but n_layers is 0"),
        ({"position": "alibi", "position_init": "sinusoidal"}, "position is 'alibi': it has no effect"),
        ({"position": "ropes"}, "did you mean 'rope'"),
        ({"position": "rope", "layer": "hstu"}, "layer 'hstu' has attention scores of its own"),
    ],
)
def test_what_does_not_fit_is_refused(make, settings, message):
    with pytest.raises(InputError, match=message):
        make(**settings)


def test_a_saved_encoder_comes_back_with_them(tmp_path):
    encoder = Encoder(EncoderConfig(vocab_size=20, dim=8, position="rope")).eval()
    encoder.save(tmp_path)
    assert torch.equal(Encoder.load(tmp_path)(TOKENS).tokens, encoder(TOKENS).tokens)
