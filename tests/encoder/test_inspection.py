"""Attention weights and fusion weights are those that the forward pass uses."""

import pytest
import torch
import transformers

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.hugging_face.load import load_with_head
from recsys_bert.encoder.inspection import inspect_encoder, through_layers
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import find

TOKENS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 3, 0, 0]])


def make(**settings):
    torch.manual_seed(1)
    small = {"vocab_size": 12, "dim": 16, "n_layers": 3, "n_heads": 4, "max_len": 8, "init_std": 0.5}
    return Encoder(EncoderConfig(**{**small, **settings})).eval()


SOFTMAX = [name for name in LAYERS if hasattr(find("layer", name, LAYERS), "attention_weights")]
CASES = [(name, causal, "last") for name in SOFTMAX for causal in (False, True) if name != "bsarec" or not causal]
CASES += [("bert", causal, positions) for causal in (False, True) for positions in ("rope", "alibi")]


@pytest.mark.parametrize(("layer", "causal", "positions"), CASES)
def test_weights_times_values_are_what_the_heads_give(layer, causal, positions):
    settings = {"layer": layer, "attention": "causal" if causal else "bidirectional", "position": positions}
    encoder, mixed, projected = make(**settings), [], []
    for one in encoder.layers:
        merge = one.attention.merge_heads
        one.attention.merge_heads = lambda x, merge=merge: mixed.append(x) or merge(x)
        one.attention.qkv.register_forward_hook(lambda module, inputs, output: projected.append(output))
    inspection = inspect_encoder(encoder, TOKENS)
    values = [one.attention.split_heads(p)[2] for one, p in zip(encoder.layers, projected[1::2], strict=True)]
    assert len(mixed) == len(inspection.attention) == 3
    for weights, value, expected in zip(inspection.attention, values, mixed, strict=True):
        torch.testing.assert_close(weights @ value, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
        if not causal:
            assert (weights[1, :, :3, 3:] == 0).all()
        else:
            assert (weights.triu(1) == 0).all()
    torch.testing.assert_close(inspection.output.tokens, make(**settings)(TOKENS).tokens)


def test_weights_are_those_of_transformers(tmp_path):
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=12, **settings, max_position_embeddings=8, attn_implementation="eager")
    reference = transformers.BertModel(config).eval()
    reference.save_pretrained(tmp_path)
    encoder, _ = load_with_head(tmp_path, pad_row=0)
    expected = reference(TOKENS, attention_mask=(TOKENS != 0).long(), output_attentions=True).attentions
    for weights, other in zip(inspect_encoder(encoder.eval(), TOKENS).attention, expected, strict=True):
        torch.testing.assert_close(weights[0], other[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(weights[1, :, :3], other[1, :, :3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusion_weights_stand_by_state(fusion):
    encoder = make(fusion=fusion)
    inspection = inspect_encoder(encoder, TOKENS)
    if inspection.fusion is None:
        assert any(f"fusion {fusion!r}" in reason for reason in inspection.missing)
        assert fusion in ("last", "pool")
        return
    assert inspection.fusion.shape == (2, 5, 4)
    torch.testing.assert_close(inspection.fusion.sum(-1), torch.ones(2, 5))
    if fusion == "layer_attention":
        assert (inspection.fusion[..., 0] == 0).all()


@pytest.mark.parametrize("layer", sorted(set(LAYERS) - set(SOFTMAX)))
def test_a_layer_without_a_matrix_is_named(layer):
    inspection = inspect_encoder(make(layer=layer), TOKENS)
    assert inspection.attention == (None, None, None)
    assert f"layer {layer!r} has no attention matrix" in inspection.missing[0]


def test_shared_layers_are_noted_every_time():
    assert len(inspect_encoder(make(share_layers=True), TOKENS).attention) == 3


@pytest.mark.parametrize("neck", ["none", "bigru"])
def test_the_last_state_through_norm_and_neck_is_the_output(neck):
    encoder = make(fusion="last", neck=neck)
    output = encoder(TOKENS)
    torch.testing.assert_close(through_layers(encoder, output)[-1][0], output.tokens[0])
