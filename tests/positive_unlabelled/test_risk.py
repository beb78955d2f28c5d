import math

import pytest
import torch

from recsys_bert.errors import InputError
from recsys_bert.positive_unlabelled.risk import RISKS, PURisk, losses_of, non_negative, unbiased

LOGITS = torch.tensor([[1.0, -2.0], [0.5, 0.0], [-1.0, 3.0], [2.0, -0.5], [0.0, 1.0]])
LABELLED = torch.tensor([[1, 0], [0, 0], [0, 1], [1, 0], [0, 0]], dtype=torch.bool)
SHARES = [0.4, 0.2]  # as in this batch, so that expected counts are true ones
PRIORS = [0.6, 0.5]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


LOSS = {  # logit, is it a positive
    "absolute": lambda z, y: abs(y - sigmoid(z)),
    "logistic": lambda z, y: -math.log(sigmoid(z) if y else 1 - sigmoid(z)),
}


def by_hand(loss, prior_of):
    """π R_p⁺ and R_u⁻ − π R_p⁻ of each class, example by example."""
    parts = []
    for c in range(2):
        logits, inputs = LOGITS[:, c].tolist(), LABELLED[:, c].tolist()
        positive = [loss(z, 1) for z, s in zip(logits, inputs, strict=True) if s]
        as_negative = [loss(z, 0) for z, s in zip(logits, inputs, strict=True) if s]
        everything = [loss(z, 0) for z in logits]
        prior = prior_of(c, sum(inputs) / len(inputs))
        negative = sum(everything) / len(everything) - prior * sum(as_negative) / len(as_negative)
        parts.append((prior * sum(positive) / len(positive), negative))
    return parts


@pytest.mark.parametrize("loss", LOSS)
def test_the_unbiased_risk_by_hand(loss):
    parts = by_hand(LOSS[loss], lambda c, _: PRIORS[c])
    risk = PURisk(PRIORS, SHARES, risk="unbiased", loss=loss)
    assert risk(LOGITS, LABELLED).item() == pytest.approx(sum(a + b for a, b in parts), abs=1e-5)


@pytest.mark.parametrize("loss", LOSS)
def test_the_biased_risk_takes_the_others_as_negatives(loss):
    mean = sum(
        LOSS[loss](z, y)
        for row, own in zip(LOGITS.tolist(), LABELLED.tolist(), strict=True)
        for z, y in zip(row, own, strict=True)
    ) / len(LOGITS)
    risk = PURisk(PRIORS, SHARES, risk="biased", loss=loss)
    assert risk(LOGITS, LABELLED).item() == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("loss", LOSS)
def test_the_non_negative_risk_by_hand(loss):
    high = [0.9, 0.95]  # so that the risk of negatives is below 0 for a class
    parts = by_hand(LOSS[loss], lambda c, _: high[c])
    assert min(b for _, b in parts) < 0
    risk = PURisk(high, SHARES, loss=loss, memory=0.0)
    assert risk(LOGITS, LABELLED).item() == pytest.approx(sum(a + max(0, b) for a, b in parts), abs=1e-5)


def means(positive, labelled_negative, unlabelled_negative):
    return [torch.tensor([value], requires_grad=True) for value in (positive, labelled_negative, unlabelled_negative)]


@pytest.mark.parametrize(
    ("correction", "judged", "value", "gradient"),
    [  # π = .5, R_p⁺ = .3, R_p⁻ = .8, R_u⁻ = .2: the risk of negatives is −.2
        ("clip", None, 0.15, (0.5, 0.0, 0.0)),
        ("step_back", None, 0.15, (0.0, 0.5 * 0.5, -0.5)),  # −γ (R_u⁻ − π R_p⁻) with γ = .5
        ("clip", torch.tensor([0.1]), -0.05, (0.5, -0.5, 1.0)),  # judged to be above 0: the unbiased one
        ("step_back", torch.tensor([0.1]), -0.05, (0.5, -0.5, 1.0)),
    ],
)
def test_the_gradient_of_the_correction(correction, judged, value, gradient):
    inputs, prior = means(0.3, 0.8, 0.2), torch.tensor([0.5])
    risk = non_negative(*inputs, prior, correction=correction, step_back=0.5, judged_risk=judged)
    assert risk.item() == pytest.approx(value)
    risk.sum().backward()
    assert [one.grad.item() for one in inputs] == pytest.approx(list(gradient))


def test_nothing_is_corrected_above_the_tolerance():
    prior = torch.tensor([0.5])
    for inputs in (means(0.3, 0.2, 0.4), means(0.3, 0.8, 0.35)):  # +.3 and −.05
        risk = non_negative(*inputs, prior, correction="step_back", tolerance=0.1)
        torch.testing.assert_close(risk, unbiased(*inputs, prior))
    below = non_negative(*means(0.3, 0.8, 0.2), prior, tolerance=0.1)
    assert below.item() == pytest.approx(0.5 * 0.3 - 0.1)


def test_batches_without_a_label_are_no_exception():
    """The unbiased risks of parts of the data add up to that of the whole, however labels fall."""
    risk = PURisk(PRIORS, SHARES, risk="unbiased")
    whole = risk(LOGITS, LABELLED)
    parts = [len(rows) * risk(LOGITS[rows], LABELLED[rows]) for rows in ([0], [1, 4], [2, 3])]
    torch.testing.assert_close(sum(parts) / len(LOGITS), whole)


def test_a_running_mean_judges_and_outlives_a_checkpoint():
    risk = PURisk([0.9, 0.95], SHARES, memory=0.75)
    now = torch.tensor([b for _, b in by_hand(LOSS["absolute"], lambda c, _: [0.9, 0.95][c])])
    risk(LOGITS, LABELLED)
    torch.testing.assert_close(risk.negative, 0.25 * now)
    risk(LOGITS, LABELLED)
    torch.testing.assert_close(risk.negative, (0.75 * 0.25 + 0.25) * now)
    other = PURisk([0.9, 0.95], SHARES, memory=0.75)
    other.load_state_dict(risk.state_dict())
    torch.testing.assert_close(other(LOGITS, LABELLED), risk(LOGITS, LABELLED))
    risk.eval()
    before = risk.negative.clone()
    risk(LOGITS, LABELLED)
    torch.testing.assert_close(risk.negative, before)


def test_warming_is_the_biased_risk_on_cross_entropy():
    risk = PURisk(PRIORS, SHARES)
    risk.warming = True
    torch.testing.assert_close(
        risk(LOGITS, LABELLED), PURisk(PRIORS, SHARES, risk="biased", loss="logistic")(LOGITS, LABELLED)
    )
    assert not risk.negative.any()


def test_a_class_without_a_label_learns_that_nothing_is_of_it():
    risk = PURisk([0.3, 0.5], [0.0, 0.2])
    logits = LOGITS.clone().requires_grad_()
    labelled = LABELLED & torch.tensor([False, True])
    risk(logits, labelled).backward()
    torch.testing.assert_close(logits.grad[:, 0], torch.sigmoid(LOGITS)[:, 0] * torch.sigmoid(-LOGITS)[:, 0] / 5)


@pytest.mark.parametrize("risk", RISKS)
def test_hidden_positives_are_found_by_the_prior(risk):
    """One feature; a third of the positives is labelled at random: taken as negatives, the others hide the class."""
    random = torch.Generator().manual_seed(0)
    true = torch.rand(4000, generator=random) < 0.4
    x = torch.randn(4000, generator=random) + 2.0 * true
    labelled = (true & (torch.rand(4000, generator=random) < 0.33))[:, None]
    loss = PURisk([0.4], [labelled.float().mean().item()], risk=risk)
    weight = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        loss((weight[0] * x + weight[1])[:, None], labelled).backward()
        optimiser.step()
    result = (weight[0] * x + weight[1] > 0).detach()
    recall = (result & true).sum() / true.sum()
    if risk == "biased":
        assert recall < 0.3
    else:
        assert recall > 0.6
        assert ((result == true).float().mean()) > 0.78


def test_losses():
    for name, loss in LOSS.items():
        positive, negative = losses_of(LOGITS, name)
        for z, a, b in zip(LOGITS.flatten().tolist(), positive.flatten(), negative.flatten(), strict=True):
            assert (a.item(), b.item()) == pytest.approx((loss(z, 1), loss(z, 0)), abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"risk": "nonnegative"}, "no risk of PU learning is called 'nonnegative'; did you mean 'non_negative'"),
        ({"loss": "hinge"}, "no loss of PU learning is called 'hinge'"),
        ({"correction": "max"}, "no correction of PU learning is called 'max'"),
        ({"priors": [0.1, 0.5]}, r"a class prior is 0\.1 where the share 0\.4 of the examples is labelled"),
        ({"priors": [1.0, 0.5]}, "a class prior is 1 "),
        ({"memory": 1}, r"memory of PU learning is 1; it must lie in \[0, 1\)"),
    ],
)
def test_what_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        PURisk(**({"priors": PRIORS, "labelled": SHARES} | settings))
