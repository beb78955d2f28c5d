"""Classification losses on logits: cross-entropy with class weights, label smoothing and focal loss."""

import torch
import torch.nn.functional as F
from torch import Tensor


def multiclass_cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Tensor | None = None, smoothing: float = 0.0, gamma: float = 0.0
) -> Tensor:
    """Multiclass cross-entropy ``−Σ_c q_c w_c (1 − p_c)^γ log p_c``, as a mean over examples.

    ``q`` is 1 − smoothing on the true class plus smoothing / classes everywhere; γ > 0 is the focal loss
    (https://arxiv.org/abs/1708.02002) with the weights as α. The sum is divided by the number of examples, not by their
    weights, so that accumulated batches add up to one step.

    Args:
        logits: ``[n, classes]``.
        targets: ``[n]`` classes.
        weights: Class weights ``[classes]``; None = equal.
        smoothing: Label smoothing in [0, 1).
        gamma: Focusing parameter γ of the focal loss; 0 = plain cross-entropy.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    terms = -log_p if gamma == 0 else -log_p * (1 - log_p.exp()).clamp_min(1e-7) ** gamma
    if weights is not None:
        terms = terms * weights
    target_terms = terms.gather(1, targets[:, None]).squeeze(1)
    return ((1 - smoothing) * target_terms + smoothing * terms.mean(dim=1)).mean()


def multilabel_cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Tensor | None = None, smoothing: float = 0.0, gamma: float = 0.0
) -> Tensor:
    """Multilabel (binary, focal) cross-entropy, as a mean over examples and classes.

    Args:
        logits: ``[n, classes]``.
        targets: 0 or 1, ``[n, classes]``.
        weights: Weight of the positives ``[classes]``; None = 1.
        smoothing: Targets become ``smoothing / 2`` and ``1 − smoothing / 2``.
        gamma: See ``multiclass_cross_entropy``.
    """
    logits = logits.float()
    positive, negative = F.logsigmoid(logits), F.logsigmoid(-logits)
    q = targets.float() * (1 - smoothing) + smoothing / 2
    if gamma:
        positive, negative = positive * torch.sigmoid(-logits) ** gamma, negative * torch.sigmoid(logits) ** gamma
    if weights is not None:
        positive = positive * weights
    return -(q * positive + (1 - q) * negative).mean()
