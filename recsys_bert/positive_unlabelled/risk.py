"""PU risk estimators: pure functions on tensors, and a loss over several classes.

One-sample setting of du Plessis et al.: all examples, labelled ones included, are the unlabelled sample, so a class
prior is the share of positives in all examples and the unlabelled mean is unbiased. (Published code often leaves the
labelled ones out and keeps the prior, which is then too large.)
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.errors import InputError, unknown_name

RISKS = ("biased", "unbiased", "non_negative")
"""Unlabelled examples as negatives; du Plessis et al. 2014 / 2015; Kiryo et al. 2017."""

LOSSES = ("absolute", "logistic")
"""``|y − p|``, which is bounded, and cross-entropy, which is not."""


CORRECTIONS = ("clip", "step_back")
"""Correction of ``non_negative`` where the risk of negatives is below 0; see there."""


def losses_of(logits: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Loss of every logit as a positive and as a negative, each of the shape of ``logits``."""
    logits = logits.float()
    if loss == "absolute":
        return torch.sigmoid(-logits), torch.sigmoid(logits)
    return F.softplus(-logits), F.softplus(logits)


def unbiased(positive: Tensor, labelled_negative: Tensor, unlabelled_negative: Tensor, prior: Tensor) -> Tensor:
    """``π R_p⁺ + R_u⁻ − π R_p⁻`` (https://papers.nips.cc/paper/5509, https://proceedings.mlr.press/v37/plessis15.html).

    Args:
        positive: R_p⁺, mean loss of labelled examples as positives, ``[classes]``.
        labelled_negative: R_p⁻, that of the same examples as negatives.
        unlabelled_negative: R_u⁻, that of all examples as negatives.
        prior: π, share of positives in all examples.

    Returns:
        ``[classes]``.
    """
    return prior * positive + unlabelled_negative - prior * labelled_negative


def non_negative(
    positive: Tensor,
    labelled_negative: Tensor,
    unlabelled_negative: Tensor,
    prior: Tensor,
    *,
    correction: str = "clip",
    tolerance: float = 0.0,
    step_back: float = 1.0,
    judged_risk: Tensor | None = None,
) -> Tensor:
    """``π R_p⁺ + max(0, R_u⁻ − π R_p⁻)`` (https://arxiv.org/abs/1703.00593).

    R_u⁻ − π R_p⁻ is the risk of negatives, which cannot be below 0 but by overfitting. Where it is below −tolerance,
    ``clip`` learns from π R_p⁺ alone, which is the gradient of the maximum; ``step_back`` is the paper's Algorithm 1: a
    step along the gradient of ``−step_back · (R_u⁻ − π R_p⁻)`` alone, which undoes some of the overfitting.

    Args:
        positive: As in ``unbiased``, as are the next three.
        labelled_negative: R_p⁻.
        unlabelled_negative: R_u⁻.
        prior: π.
        correction: One of ``CORRECTIONS``.
        tolerance: β, at least 0.
        step_back: γ, in [0, 1].
        judged_risk: ``[classes]``, risk compared with −tolerance, as a running mean; None = this batch's
            R_u⁻ − π R_p⁻.

    Returns:
        ``[classes]``; where a class is corrected, its value is ``π R_p⁺ − tolerance``.
    """
    negative = unlabelled_negative - prior * labelled_negative
    below = (negative if judged_risk is None else judged_risk) < -tolerance
    corrected = prior * positive - tolerance
    if correction == "step_back":
        back = -step_back * negative
        corrected = corrected.detach() + back - back.detach()
    return torch.where(below, corrected, prior * positive + negative)


class PURisk(nn.Module):
    """Sum over classes of a risk, each class against the rest.

    Means over labelled examples divide by how many a batch has on average, not by how many this one has: every labelled
    example then counts alike, and a batch without any is no exception. Whether the risk of negatives is below 0 is
    judged on a running mean, for one batch has few examples of a rare class. For the biased risk the prior is the
    labelled share: it is the mean loss of labelled examples as positives and of all others as negatives.

    Args:
        priors: π of each class, in (0, 1); not used by the biased risk, nor for a class without any label.
        labelled: Labelled share of each class in all examples, in [0, 1).
        risk: One of ``RISKS``.
        loss: One of ``LOSSES``.
        weight: Of the risk of positives, as γ in Peng et al. 2019 (https://aclanthology.org/P19-1231).
        correction: See ``non_negative``, as for the next two.
        tolerance: β there.
        step_back: γ there.
        memory: What the running mean keeps a step, in [0, 1); 0 judges each batch by itself, as published.

    Raises:
        InputError: A name or a number is not allowed.
    """

    priors: Tensor
    labelled: Tensor
    negative: Tensor
    warming: bool
    """Use the biased risk on cross-entropy for now: where a bounded loss is flat, it finds a start."""

    def __init__(
        self,
        priors: Sequence[float],
        labelled: Sequence[float],
        *,
        risk: str = "non_negative",
        loss: str = "absolute",
        weight: float = 1.0,
        correction: str = "clip",
        tolerance: float = 0.0,
        step_back: float = 1.0,
        memory: float = 0.9,
    ) -> None:
        super().__init__()
        for kind, name, names in (
            ("risk", risk, RISKS),
            ("loss", loss, LOSSES),
            ("correction", correction, CORRECTIONS),
        ):
            if name not in names:
                raise unknown_name(f"{kind} of PU learning", name, names)
        if not 0 <= memory < 1:
            raise InputError(f"memory of PU learning is {memory}; it must lie in [0, 1).")
        self.risk, self.loss, self.weight, self.warming = risk, loss, weight, False
        self.correction, self.tolerance, self.step_back, self.memory = correction, tolerance, step_back, memory
        shares = list(labelled)
        used = shares if risk == "biased" else [p if s else 0.0 for p, s in zip(priors, shares, strict=True)]
        for prior, share in zip(used, shares, strict=True):
            if not (0 <= share < 1 and share <= prior < 1):
                raise InputError(
                    f"a class prior is {prior:.4g} where the share {share:.4g} of the examples is labelled; it must be "
                    "at least that share, and below 1."
                )
        self.register_buffer("priors", torch.tensor(used, dtype=torch.float32), persistent=False)
        self.register_buffer("labelled", torch.tensor(shares, dtype=torch.float32), persistent=False)
        self.register_buffer("negative", torch.zeros(len(shares)))  # kept in checkpoints: a resumed training needs it

    def forward(self, logits: Tensor, labelled: Tensor) -> Tensor:
        """Risk of a batch.

        Args:
            logits: ``[n, classes]``.
            labelled: bool ``[n, classes]``.
        """
        as_positive, as_negative = losses_of(logits, "logistic" if self.warming else self.loss)
        expected = (self.labelled * len(logits)).clamp_min(torch.finfo(torch.float32).tiny)
        positive = self.weight * (as_positive * labelled).sum(dim=0) / expected
        means = positive, (as_negative * labelled).sum(dim=0) / expected, as_negative.mean(dim=0)
        if self.warming:
            return unbiased(*means, self.labelled).sum()
        if self.risk != "non_negative":
            return unbiased(*means, self.priors).sum()
        if self.training:
            now = (means[2] - self.priors * means[1]).detach()
            self.negative.copy_(self.memory * self.negative + (1 - self.memory) * now)
        return non_negative(
            *means,
            self.priors,
            correction=self.correction,
            tolerance=self.tolerance,
            step_back=self.step_back,
            judged_risk=self.negative,
        ).sum()
