"""Contract of every head of ``TEXT_HEADS``."""

import pytest
import torch

from nlp_tasks.config import HeadConfig
from nlp_tasks.heads import TEXT_HEADS
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError

DIM = 8


@pytest.fixture(params=TEXT_HEADS)
def head(request):
    torch.manual_seed(0)
    return build("head", request.param, TEXT_HEADS, DIM, options={})


@pytest.fixture
def states():
    return torch.randn(3, 6, DIM, generator=torch.Generator().manual_seed(1))


REAL = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] + [False] * 5])


def test_one_vector_a_text(head, states):
    assert head(states, REAL).shape == (3, head.out_dim)


def test_padding_changes_nothing(head, states):
    pooled = head(states, REAL)
    changed = torch.where(REAL[:, :, None], states, torch.full_like(states, 9.0))
    torch.testing.assert_close(head(changed, REAL), pooled)
    torch.testing.assert_close(head(states[1:2, :4], REAL[1:2, :4]), pooled[1:2])
    torch.testing.assert_close(head(states[2:, :1], REAL[2:, :1]), pooled[2:])


def test_every_weight_learns_and_every_real_position_may(head, states):
    states.requires_grad_()
    head(states, REAL).square().sum().backward()
    assert not states.grad[~REAL].any()
    assert states.grad.any()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in head.parameters())


def test_bf16(head, states):
    with torch.autocast("cpu", torch.bfloat16):
        pooled = head(states, REAL)
    torch.testing.assert_close(pooled.float(), head(states, REAL), atol=0.05, rtol=0.05)


def test_an_unknown_head_names_the_known_ones():
    with pytest.raises(InputError, match="no head is called 'maen'; did you mean 'mean'"):
        HeadConfig(name="maen")
