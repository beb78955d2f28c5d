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


def info_nce(queries: Tensor, keys: Tensor, *, temperature: float, same: Tensor | None = None) -> Tensor:
    """InfoNCE of queries against in-batch and hard negatives, in one direction.

    The loss of SimCSE (https://arxiv.org/abs/2104.08821), and the one that sentence-transformers calls
    MultipleNegativesRankingLoss. ``in_batch_loss`` is its symmetric form without hard negatives.

    Args:
        queries: Vectors ``[n, dim]``; the similarity is the cosine.
        keys: ``[m, dim]``, m ≥ n: ``keys[i]`` is the positive of ``queries[i]``, all others are negatives.
        temperature: Divides the cosines.
        same: bool ``[n, m]``, True = false negative, which is masked out; the diagonal is ignored.

    Returns:
        Mean over the queries.
    """
    scores = F.normalize(queries.float(), dim=-1) @ F.normalize(keys.float(), dim=-1).T / temperature
    if same is not None:
        diagonal = torch.eye(*scores.shape, dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(same & ~diagonal, -torch.inf)
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def pair_ranking_loss(scores: Tensor, grades: Tensor, *, temperature: float) -> Tensor:
    """CoSENT: ``log(1 + Σ exp((s_i − s_j) / τ))`` over all i and j where pair i has the lower grade.

    Jianlin Su 2022 (https://kexue.fm/archives/8847): a ranking loss on cosines, which fixes no values.

    Args:
        scores: ``[n]``, one per pair.
        grades: ``[n]`` numbers, or bool, True = positive pair.
        temperature: τ.

    Returns:
        Loss of the batch; 0 if all pairs have one grade.
    """
    scores = scores.float() / temperature
    lower = grades[:, None] < grades[None, :]
    gaps = torch.where(lower, scores[:, None] - scores[None, :], -torch.inf)
    return torch.cat([gaps.flatten(), gaps.new_zeros(1)]).logsumexp(dim=0)
