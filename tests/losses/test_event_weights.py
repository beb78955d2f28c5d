"""Item losses with weights: Σ weight · loss / Σ weight, by hand, by autograd, and bit for bit where all are 1."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from recsys_bert.losses.item_softmax import Sampled, full_cross_entropy, gbce, sampled_softmax, soft_item_loss

WEIGHTS = torch.tensor([50.0, 1.0, 0.0, 2.5, 1.0, 7.0])


@pytest.fixture
def parts():
    """Six queries of three histories (one without any), a table, targets, negatives and logQ."""
    random = torch.Generator().manual_seed(0)
    queries, table = (torch.randn(n, 5, generator=random).requires_grad_() for n in (6, 9))
    targets, negatives = torch.tensor([4, 5, 6, 4, 7, 8]), torch.randint(0, 9, (3, 4), generator=random)
    sampled = Sampled(
        row=torch.tensor([0, 0, 0, 2, 2, 2]),
        targets=targets,
        positives=table.detach()[targets].requires_grad_(),
        negatives=negatives,
        vectors=table.detach()[negatives].requires_grad_(),
    )
    return queries, table, targets, sampled


def losses(parts):
    """Name → (loss of weights, leaves)."""
    queries, table, targets, sampled = parts
    log_q = torch.linspace(-1, 1, 6), torch.linspace(-1, 1, 12).view(3, 4)
    leaves = (queries, sampled.positives, sampled.vectors)
    teacher = queries.detach().flip(0), table.detach().flip(0)
    return {
        "full": (lambda w: full_cross_entropy(queries, table, targets, w, chunk=4), (queries, table)),
        "sampled": (lambda w: sampled_softmax(queries, replace(sampled, weights=w), *log_q), leaves),
        "gbce": (lambda w: gbce(queries, replace(sampled, weights=w), n_items=9, calibration=0.75), leaves),
        "soft": (lambda w: soft_item_loss(queries, table, teacher, w, temperature=2.0, chunk=4), (queries, table)),
    }


def test_by_hand():
    """A purchase of weight 50 with two equal scores, and a view of weight 1 with four."""
    two = full_cross_entropy(torch.zeros(2, 1), torch.zeros(2, 1), torch.tensor([0, 1]), torch.ones(2), chunk=9)
    assert two.item() == pytest.approx(math.log(2))
    queries = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    table = torch.tensor([[0.0, 0.0], [1.0, 0.0]])  # scores 0, 0 and 0, log 3: losses log 2 and log 4
    loss = full_cross_entropy(queries, table, torch.tensor([1, 0]), torch.tensor([50.0, 1.0]), chunk=9)
    assert loss.item() == pytest.approx((50 * math.log(2) + math.log(4)) / 51)


@pytest.mark.parametrize("name", ["full", "sampled", "gbce", "soft"])
def test_a_weighted_loss_is_the_weighted_mean_of_the_losses_of_each(parts, name):
    loss, leaves = losses(parts)[name]
    each = [loss(F.one_hot(torch.tensor(n), 6).float()) for n in range(6)]
    reference = (torch.stack(each) * WEIGHTS).sum() / WEIGHTS.sum()
    weighted = loss(WEIGHTS)
    torch.testing.assert_close(weighted, reference)
    torch.testing.assert_close(
        torch.autograd.grad(weighted, leaves), torch.autograd.grad(reference, leaves), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(loss(WEIGHTS / 100), weighted)  # the unit of weights is free


def test_each_one_is_the_cross_entropy_of_its_query(parts):
    queries, table, targets, _ = parts
    loss = losses(parts)["full"][0]
    each = [loss(F.one_hot(torch.tensor(n), 6).float()) for n in range(6)]
    torch.testing.assert_close(torch.stack(each), F.cross_entropy(queries @ table.T, targets, reduction="none"))


@pytest.mark.parametrize("name", ["full", "sampled", "gbce", "soft"])
def test_weights_of_one_change_no_bit(parts, name):
    loss, leaves = losses(parts)[name]
    plain, ones = loss(None), loss(torch.ones(6))
    assert torch.equal(plain, ones)
    gradients = (torch.autograd.grad(one, leaves) for one in (plain, ones))
    assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", ["full", "sampled", "gbce", "soft"])
def test_nothing_but_weights_of_zero_is_no_loss(parts, name):
    loss, leaves = losses(parts)[name]
    nothing = loss(torch.zeros(6))
    assert nothing.item() == 0.0
    assert not any(gradient.any() for gradient in torch.autograd.grad(nothing, leaves))
