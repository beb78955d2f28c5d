"""The second loss on the raw last layer."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.auxiliary import LastLayer, weighed
from recsys_bert.objectives.token_prediction import TokenPrediction

TOKENS = torch.tensor([[3, 4, 5, 6], [2, 7, 0, 0]])


def encoder(**settings):
    torch.manual_seed(0)
    return Encoder(EncoderConfig(vocab_size=9, dim=8, n_layers=2, fusion="scalar_mix", neck="bigru", **settings)).eval()


def test_it_reads_the_last_layer_and_neither_fusion_nor_neck():
    model = encoder(layer="pre_norm")
    state = model(TOKENS).states[-1]
    last = LastLayer(model, 5)
    assert last(state).shape == (2, 4, 5)
    expected = torch.nn.functional.layer_norm(state, (8,)) @ last.map.weight.T + last.map.bias
    torch.testing.assert_close(last(state), expected)
    last(state).sum().backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"embeddings", "layers"}


def test_layers_that_end_in_a_norm_get_no_second_one_and_equal_widths_no_map():
    model = encoder(layer="bert")
    state = model(TOKENS).states[-1]
    last = LastLayer(model)
    assert list(last.parameters()) == []
    assert torch.equal(last(state), state)


def test_its_norm_is_its_own():
    model = encoder(layer="pre_norm")
    last = LastLayer(model)
    with torch.no_grad():
        last.norm.weight.zero_()
    assert model.norm.weight.all()


def test_the_weight_is_the_share_of_the_auxiliary_loss():
    torch.testing.assert_close(weighed(torch.tensor(1.0), torch.tensor(2.0), 0.8), torch.tensor(1.8))


@pytest.mark.parametrize("name", ["full", "sampled", "gbce"])
def test_token_prediction_weighs_the_loss_on_the_last_layer_against_its_own(name):
    def prediction(auxiliary):
        model = TokenPrediction(
            encoder(attention="causal", embedding_dim=4),
            LossConfig(name=name, similarity="cosine"),
            first_row=2,
            counts=np.ones(9, int),
            auxiliary=auxiliary,
        )
        return model.eval()

    batch = {
        "tokens": TOKENS,
        "positions": torch.tensor([0, 1, 4]),
        "targets": torch.tensor([4, 5, 7]),
        "negatives": torch.tensor([[3, 6], [8, 3]]),
    }
    plain, both = prediction(None), prediction(0.8)
    swapped = prediction(None)  # the same loss on the last layer, where fusion and neck stand otherwise
    swapped.encode = lambda batch: replace(whole := both.encode(batch), tokens=both.last(whole.states[-1]))
    swapped.encoder.output_projection = torch.nn.Identity()
    expected = 0.8 * swapped(batch) + 0.2 * plain(batch)
    torch.testing.assert_close(both(batch), expected)
    both(batch).backward()
    assert all(p.grad is not None for p in both.parameters())
