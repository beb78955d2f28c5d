"""Contract of the span model with every layer, fusion and neck."""

import pytest
import torch

from nlp_tasks.qa.model import NOT_THERE, SpanModel, span_loss

TOKENS = torch.tensor([[1, 5, 3, 6, 7, 3], [1, 9, 3, 0, 0, 0]])
SEGMENTS = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])


@pytest.fixture
def model(part, build):
    torch.manual_seed(1)
    return SpanModel(build(*part, n_segments=2), 0.0, auxiliary=True).eval()


def test_start_and_end_at_every_real_position(model):
    logits = model({"tokens": TOKENS, "segments": SEGMENTS})
    assert logits.shape == (2, 2, 6)
    assert (logits[1, :, 3:] == NOT_THERE).all()
    alone = model({"tokens": TOKENS[1:, :3], "segments": SEGMENTS[1:, :3]})
    torch.testing.assert_close(logits[1:, :, :3], alone)


def test_both_losses_reach_their_weights(model):
    encoded = model.encode({"tokens": TOKENS, "segments": SEGMENTS})
    starts, ends = torch.tensor([3, 0]), torch.tensor([4, 0])
    for logits, output in (
        (model.on_output(encoded), model.output),
        (model.on_last_layer(encoded), model.auxiliary.output),
    ):
        model.zero_grad()
        span_loss(logits, starts, ends).backward(retain_graph=True)
        assert output.weight.grad.abs().sum() > 0
        assert model.encoder.embeddings.token.weight.grad.abs().sum() > 0
