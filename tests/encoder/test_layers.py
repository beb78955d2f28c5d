"""Layers against their papers' formulas, written out slowly."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recsys_bert.encoder.attention import Attend, SelfAttention
from recsys_bert.encoder.layers.bert import BertLayer
from recsys_bert.encoder.layers.pre_norm import PreNormLayer
from recsys_bert.encoder.layers.realformer import RealFormerLayer

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
    attend = Attend.of(REAL, causal)
    x = ours = torch.randn(2, 4, 6)
    total, carried = torch.zeros(2, 2, 4, 4), None
    for layer in layers:
        ours, carried = layer(ours, attend, carried)
        scores, value = slow_scores(layer.attention, x)
        total = total + scores
        weights = total.masked_fill(~attend.full(4, x.device), -1e9).softmax(-1)
        mixed = torch.cat(list((weights @ value).unbind(1)), dim=-1)
        x = layer.attention_norm(x + layer.attention.out(mixed))
        x = layer.ffn_norm(x + layer.ffn.narrow(F.gelu(layer.ffn.widen(x))))
        torch.testing.assert_close(carried, total)
        torch.testing.assert_close(ours[REAL], x[REAL])


def test_the_first_realformer_layer_is_a_bert_layer():
    torch.manual_seed(0)
    ours, plain = RealFormerLayer(6, 2, 0.0), BertLayer(6, 2, 0.0)
    plain.load_state_dict(ours.state_dict())
    x, attend = torch.randn(2, 4, 6), Attend.of(REAL, causal=False)
    torch.testing.assert_close(ours(x, attend)[0], plain(x, attend)[0])


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
        "ffn.widen": "linear1",
        "ffn.narrow": "linear2",
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
        ours(x, Attend.of(REAL, causal=False))[0][REAL], theirs(x, src_key_padding_mask=~REAL)[REAL]
    )
