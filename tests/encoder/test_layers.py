"""Layers against their papers' formulas, written out slowly."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.encoder.layers.bert import BertLayer
from recsys_bert.encoder.layers.gated import GatedLayer
from recsys_bert.encoder.layers.hstu import HstuLayer
from recsys_bert.encoder.layers.pre_norm import PreNormLayer
from recsys_bert.encoder.layers.realformer import RealFormerLayer
from recsys_bert.errors import InputError

REAL = torch.tensor([[True, True, True, True], [True, True, False, False]])


def slow_scores(attention: SelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """QKᵀ/√d and the values of one layer, one head at a time."""
    dim = x.shape[-1]
    width = dim // attention.n_heads
    query, key, value = (
        F.linear(x, w, b) for w, b in zip(attention.qkv.weight.split(dim), attention.qkv.bias.split(dim), strict=True)
    )
    heads = [slice(h * width, (h + 1) * width) for h in range(attention.n_heads)]
    scores = torch.stack([query[..., h] @ key[..., h].transpose(1, 2) / math.sqrt(width) for h in heads], 1)
    return scores, torch.stack([value[..., h] for h in heads], 1)


@pytest.mark.parametrize("causal", [False, True])
def test_realformer_adds_up_raw_scores_and_masks_once(causal: bool):
    torch.manual_seed(0)
    layers = [RealFormerLayer(6, 2, 0.0).eval() for _ in range(3)]
    attention_mask = AttentionMask.of(REAL, causal)
    x = ours = torch.randn(2, 4, 6)
    total, state = torch.zeros(2, 2, 4, 4), None
    for layer in layers:
        ours, state = layer(ours, attention_mask, state)
        scores, value = slow_scores(layer.attention, x)
        total = total + scores
        weights = total.masked_fill(~attention_mask.full(4, x.device), -1e9).softmax(-1)
        mixed = torch.cat(list((weights @ value).unbind(1)), dim=-1)
        x = layer.attention_norm(x + layer.attention.out(mixed))
        x = layer.ffn_norm(x + layer.ffn.down_proj(F.gelu(layer.ffn.up_proj(x))))
        torch.testing.assert_close(state, total)
        torch.testing.assert_close(ours[REAL], x[REAL])


def test_the_first_realformer_layer_is_a_bert_layer():
    torch.manual_seed(0)
    ours, plain = RealFormerLayer(6, 2, 0.0), BertLayer(6, 2, 0.0)
    plain.load_state_dict(ours.state_dict())
    x, attention_mask = torch.randn(2, 4, 6), AttentionMask.of(REAL, causal=False)
    torch.testing.assert_close(ours(x, attention_mask)[0], plain(x, attention_mask)[0])


@pytest.mark.parametrize(("layer_class", "norm_first"), [(BertLayer, False), (PreNormLayer, True)])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_layers_equal_torchs_own(layer_class: type, norm_first: bool, activation: str):
    torch.manual_seed(0)
    ours = layer_class(6, 2, 0.0, ffn_dim=10, activation=activation)
    theirs = torch.nn.TransformerEncoderLayer(
        6, 2, 10, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first
    )
    names = {
        "attention.qkv.weight": "self_attn.in_proj_weight",
        "attention.qkv.bias": "self_attn.in_proj_bias",
        "attention.out": "self_attn.out_proj",
        "attention_norm": "norm1",
        "ffn.up_proj": "linear1",
        "ffn.down_proj": "linear2",
        "ffn_norm": "norm2",
    }
    weights = {}
    for name, value in ours.state_dict().items():
        torch.nn.init.normal_(value, std=0.5)
        head, _, end = name.rpartition(".")
        weights[names.get(name) or f"{names[head]}.{end}"] = value
    theirs.load_state_dict(weights)
    x = torch.randn(2, 4, 6)
    torch.testing.assert_close(
        ours(x, AttentionMask.of(REAL, causal=False))[0][REAL], theirs(x, src_key_padding_mask=~REAL)[REAL]
    )


def by_hand(x: Tensor, linear: torch.nn.Module) -> Tensor:
    return x @ linear.weight.T + linear.bias


def normed(x: Tensor, eps: float = 1e-5) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt()


@pytest.mark.parametrize("activation", ["swiglu", "gelu", "relu"])
def test_the_gate_reads_the_stream_and_scales_what_a_branch_adds(activation: str):
    torch.manual_seed(0)
    layer = GatedLayer(6, 2, 0.0, ffn_dim=10, activation=activation)
    for p in (p for name, p in layer.named_parameters() if "norm" not in name):
        torch.nn.init.normal_(p, std=0.5)
    x, attention_mask = torch.randn(2, 4, 6), AttentionMask.of(REAL, causal=False)
    scores, value = slow_scores(layer.attention, normed(x))
    weights = scores.masked_fill(~attention_mask.full(4, x.device), -1e9).softmax(-1)
    mixed = by_hand(torch.cat(list((weights @ value).unbind(1)), dim=-1), layer.attention.out)
    middle = x + mixed / (1 + (-by_hand(x, layer.attention_gate)).exp())
    wide = by_hand(normed(middle), layer.ffn.up_proj)
    if activation == "swiglu":
        gate = by_hand(normed(middle), layer.ffn.gate)
        wide = wide * gate / (1 + (-gate).exp())
    else:
        wide = {"gelu": F.gelu, "relu": F.relu}[activation](wide)
    expected = middle + by_hand(wide, layer.ffn.down_proj) / (1 + (-by_hand(middle, layer.ffn_gate)).exp())
    torch.testing.assert_close(layer(x, attention_mask)[0][REAL], expected[REAL])


def test_dropout_inside_the_feed_forward_branch_drops_there():
    torch.manual_seed(0)
    x, attention_mask = torch.randn(2, 4, 6), AttentionMask.of(REAL, causal=False)
    for activation in ("swiglu", "relu"):
        layer = GatedLayer(6, 2, 0.0, activation=activation, ffn_dropout=0.5)
        assert not torch.equal(layer(x, attention_mask)[0], layer(x, attention_mask)[0])
        assert torch.equal(layer.eval()(x, attention_mask)[0], layer(x, attention_mask)[0])


def test_an_activation_that_is_not_known_is_refused_with_all_that_are():
    with pytest.raises(
        InputError, match="'swigul'; did you mean 'swiglu'\\? Known: gelu, gelu_tanh, relu, silu, swiglu"
    ):
        GatedLayer(6, 2, 0.0, activation="swigul")


def hstu_by_hand(layer: HstuLayer, x: Tensor, attention_mask: AttentionMask, times: Tensor | None) -> Tensor:
    """The paper's formulas, one pair of positions at a time."""
    batch, seq, dim = x.shape
    width = dim // layer.n_heads
    projected = by_hand(normed(x), layer.uvqk)
    gate, value, query, key = (projected / (1 + (-projected).exp())).split(dim, dim=-1)
    allowed = attention_mask.full(seq, x.device).expand(batch, 1, seq, seq)[:, 0]
    mixed = torch.zeros(batch, seq, dim)
    for b, i, j in allowed.nonzero().tolist():
        bias = layer.distance_bias[layer.max_distance + max(-layer.max_distance, min(layer.max_distance, i - j))]
        if times is not None:
            seconds = max(1, abs(int(times[b, i] - times[b, j])))
            octave = seconds.bit_length() - 1
            bias = bias + layer.time_bias[2 * octave + (seconds >= 1.5 * 2**octave)]
        for h in (slice(n * width, (n + 1) * width) for n in range(layer.n_heads)):
            score = query[b, i, h] @ key[b, j, h] + bias
            mixed[b, i, h] += score / (1 + (-score).exp()) * value[b, j, h] / allowed[b, i].sum()
    return x + by_hand(normed(mixed) * gate, layer.out)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("timed", [False, True])
def test_hstu_equals_its_formula(causal: bool, timed: bool):
    torch.manual_seed(0)
    layer = HstuLayer(6, 2, 0.0, timed=timed, max_distance=2)  # positions 0 and 3 are farther apart
    for name, p in layer.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(p, std=0.5)
    times = torch.tensor([[1_000_000_000, 1_000_000_002, 1_000_000_005, 1_000_604_805], [5, 5, 0, 0]])
    x, attention_mask = torch.randn(2, 4, 6), AttentionMask.of(REAL, causal, times=times if timed else None)
    ours, state = layer(x, attention_mask)
    expected = hstu_by_hand(layer, x, attention_mask, times if timed else None)
    torch.testing.assert_close(ours[REAL], expected[REAL])
    assert (state is not None) == timed
    torch.testing.assert_close(layer(x, attention_mask, state)[0], ours)  # the next layer need not look at times again


def test_hstu_tells_how_much_there_is_and_a_softmax_does_not():
    torch.manual_seed(0)
    x = torch.randn(1, 1, 6).repeat(1, 4, 1)  # the same item four times
    layer = HstuLayer(6, 2, 0.0)
    torch.nn.init.normal_(layer.distance_bias)
    seen = layer(x, AttentionMask(causal=True))[0]
    assert not torch.allclose(seen[:, 1], seen[:, 3])
    softmax = PreNormLayer(6, 2, 0.0)(x, AttentionMask(causal=True))[0]
    torch.testing.assert_close(softmax[:, 1], softmax[:, 3])


def test_a_distance_of_nothing_is_refused():
    with pytest.raises(InputError, match="max_distance is 0"):
        HstuLayer(6, 2, 0.0, max_distance=0)
