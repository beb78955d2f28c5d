"""Losses over a few classes: weighted, smoothed and focal cross-entropy as one function each, on logits."""

import torch
import torch.nn.functional as F
from torch import Tensor


def multiclass_cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Tensor | None = None, smoothing: float = 0.0, gamma: float = 0.0
) -> Tensor:
    """Mean over examples of ``−Σ_c q_c w_c (1 − p_c)^γ log p_c``, where each example has exactly one class.

    ``q`` is 1 − smoothing on the true class plus smoothing / classes everywhere; γ > 0 is the focal loss
    (https://arxiv.org/abs/1708.02002), whose α are the weights. The sum is divided by the number of examples, not by
    their weights, so that batches of a step add up to the step.

    Args:
        logits: ``[n, classes]``.
        targets: ``[n]`` classes.
        weights: ``[classes]``; None weighs all alike.
        smoothing: Share of each example's target that goes to all classes alike, in [0, 1).
        gamma: How much less an example counts that is already right; 0 counts all alike.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    terms = -log_p if gamma == 0 else -log_p * (1 - log_p.exp()).clamp_min(1e-7) ** gamma
    if weights is not None:
        terms = terms * weights
    own = terms.gather(1, targets[:, None]).squeeze(1)
    return ((1 - smoothing) * own + smoothing * terms.mean(dim=1)).mean()


def multilabel_cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Tensor | None = None, smoothing: float = 0.0, gamma: float = 0.0
) -> Tensor:
    """Mean over examples and classes of the binary (focal) cross-entropy, where any number of classes holds.

    Args:
        logits: ``[n, classes]``.
        targets: 0 or 1, ``[n, classes]``.
        weights: ``[classes]`` weight of the ones; None weighs them as the zeros.
        smoothing: Targets become ``smoothing / 2`` and ``1 − smoothing / 2``.
        gamma: As in ``multiclass_cross_entropy``.
    """
    logits = logits.float()
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    q = targets.float() * (1 - smoothing) + smoothing / 2
    if gamma:
        yes, no = yes * torch.sigmoid(-logits) ** gamma, no * torch.sigmoid(logits) ** gamma
    if weights is not None:
        yes = yes * weights
    return -(q * yes + (1 - q) * no).mean()
