"""Losses over classes against their formulas, and torch's own where it has them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recsys_bert.losses.classification import multiclass_cross_entropy, multilabel_cross_entropy

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0])


@pytest.fixture
def logits():
    return torch.randn(7, 4, generator=torch.Generator().manual_seed(0)) * 2


@pytest.fixture
def classes():
    return torch.tensor([0, 3, 2, 1, 1, 0, 3])


@pytest.fixture
def labels():
    return torch.tensor(np.random.default_rng(0).integers(0, 2, (7, 4)))


def test_plain_cross_entropy_is_torchs(logits, classes, labels):
    torch.testing.assert_close(multiclass_cross_entropy(logits, classes), F.cross_entropy(logits, classes))
    torch.testing.assert_close(
        multilabel_cross_entropy(logits, labels), F.binary_cross_entropy_with_logits(logits, labels.float())
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_and_smoothing_are_torchs_but_for_the_divisor(logits, classes, smoothing):
    result = multiclass_cross_entropy(logits, classes, weights=WEIGHTS, smoothing=smoothing)
    theirs = F.cross_entropy(logits, classes, WEIGHTS, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(result, theirs / 7)


def test_weights_of_labels_are_torchs_positive_weights(logits, labels):
    result = multilabel_cross_entropy(logits, labels, weights=WEIGHTS)
    theirs = F.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=WEIGHTS)
    torch.testing.assert_close(result, theirs)


def test_focal_formula(logits, classes):
    expected = 0.0
    for row, label in zip(logits.tolist(), classes.tolist(), strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        expected -= WEIGHTS[label].item() * (1 - p) ** 2 * math.log(p)
    result = multiclass_cross_entropy(logits, classes, weights=WEIGHTS, gamma=2.0)
    assert result.item() == pytest.approx(expected / 7, rel=1e-5)


def test_focal_formula_for_labels(logits, labels):
    expected = 0.0
    for row, targets in zip(logits.tolist(), labels.tolist(), strict=True):
        for logit, target, weight in zip(row, targets, WEIGHTS.tolist(), strict=True):
            p = 1 / (1 + math.exp(-logit))
            q = 0.9 * target + 0.05
            expected -= q * weight * (1 - p) ** 1.5 * math.log(p) + (1 - q) * p**1.5 * math.log(1 - p)
    result = multilabel_cross_entropy(logits, labels, weights=WEIGHTS, smoothing=0.1, gamma=1.5)
    assert result.item() == pytest.approx(expected / 28, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_sure_predictions_have_finite_gradients(gamma):
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    multiclass_cross_entropy(logits, torch.tensor([0, 0]), gamma=gamma, smoothing=0.1).backward()
    multilabel_cross_entropy(logits, torch.tensor([[1, 0], [1, 0]]), gamma=gamma).backward()
    assert torch.isfinite(logits.grad).all()


def test_batches_of_a_step_add_up(logits, classes):
    whole = multiclass_cross_entropy(logits, classes, weights=WEIGHTS)
    parts = [
        multiclass_cross_entropy(logits[part], classes[part], weights=WEIGHTS) * n
        for part, n in ((slice(3), 3), (slice(3, 7), 4))
    ]
    torch.testing.assert_close(sum(parts) / 7, whole)
