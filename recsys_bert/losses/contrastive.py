"""Contrastive and ranking losses over pairs of vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor


def in_batch_loss(
    first: Tensor, second: Tensor, match: Tensor, *, temperature: float, same: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE with in-batch negatives.

    InfoNCE (https://arxiv.org/abs/1807.03748) with the rest of the batch as negatives (Henderson et al. 2017,
    https://arxiv.org/abs/1705.00652). Pairs that are no match serve as negatives only.

    Args:
        first: Vectors ``[n, dim]``; the similarity is the cosine.
        second: ``[n, dim]``; ``second[i]`` is the partner of ``first[i]``.
        match: bool ``[n]``, True = positive pair.
        temperature: Divides the cosines.
        same: bool ``[n, n]``, True = false negative: ``first[i]`` and ``second[j]`` are equal or known to match and are
            masked out; the diagonal is ignored.

    Returns:
        Mean over matches and directions; 0 without any match.
    """
    first, second = F.normalize(first.float(), dim=-1), F.normalize(second.float(), dim=-1)
    scores = first @ second.T / temperature
    diagonal = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    if same is not None:
        scores = scores.masked_fill(same & ~diagonal, -torch.inf)
    both = scores.log_softmax(dim=1).diagonal() + scores.log_softmax(dim=0).diagonal()
    # where() instead of a selection keeps shapes fixed, and the gradient defined without any match
    return -torch.where(match, both, 0.0).sum() / (2 * match.sum().clamp_min(1))


def pair_ranking_loss(scores: Tensor, match: Tensor, *, temperature: float) -> Tensor:
    """CoSENT: ``log(1 + Σ exp((s_i − s_j) / τ))`` over every negative pair i and every positive pair j.

    Jianlin Su 2022 (https://kexue.fm/archives/8847): a ranking loss on cosines, which fixes no values.

    Args:
        scores: ``[n]``, one per pair.
        match: bool ``[n]``, True = positive pair.
        temperature: τ.

    Returns:
        Loss of the batch; 0 if all pairs match, or none.
    """
    scores = scores.float() / temperature
    gaps = torch.where(~match[:, None] & match[None, :], scores[:, None] - scores[None, :], -torch.inf)
    return torch.cat([gaps.flatten(), gaps.new_zeros(1)]).logsumexp(dim=0)
