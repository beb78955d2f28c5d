"""Losses over vectors of pairs: who belongs together, among those of a batch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def in_batch_loss(
    first: Tensor, second: Tensor, match: Tensor, *, temperature: float, same: Tensor | None = None
) -> Tensor:
    """Softmax over the batch, in both directions: each first one finds its second one, and the other way round.

    InfoNCE (https://arxiv.org/abs/1807.03748) with the others of the batch as negatives (Henderson et al. 2017,
    https://arxiv.org/abs/1705.00652). Pairs that are no match have nothing to find, but stand among the others.

    Args:
        first: Vectors of any length ``[n, dim]``; cosines are compared.
        second: ``[n, dim]``; ``second[i]`` goes with ``first[i]``.
        match: bool ``[n]``, whether it really does.
        temperature: Divides the cosines.
        same: bool ``[n, n]``, True where ``first[i]`` and ``second[j]`` must not be told apart, since they are the same
            or known to belong together; the diagonal does not count.

    Returns:
        The mean over matches and directions; 0 without any match.
    """
    first, second = F.normalize(first.float(), dim=-1), F.normalize(second.float(), dim=-1)
    scores = first @ second.T / temperature
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    if same is not None:
        scores = scores.masked_fill(same & ~own, -torch.inf)
    both = scores.log_softmax(dim=1).diagonal() + scores.log_softmax(dim=0).diagonal()
    # where() instead of a selection keeps shapes fixed, and the gradient whole where there is no match at all
    return -torch.where(match, both, 0.0).sum() / (2 * match.sum().clamp_min(1))


def pair_ranking_loss(scores: Tensor, match: Tensor, *, temperature: float) -> Tensor:
    """``log(1 + Σ exp((s_i − s_j) / τ))`` over every pair i that is no match and every match j: CoSENT.

    Jianlin Su 2022 (https://kexue.fm/archives/8847): asks of cosines that they rank, and not for any value.

    Args:
        scores: ``[n]``, one a pair.
        match: bool ``[n]``.
        temperature: τ.

    Returns:
        The loss of the batch; 0 where all are matches, or none is.
    """
    scores = scores.float() / temperature
    gaps = torch.where(~match[:, None] & match[None, :], scores[:, None] - scores[None, :], -torch.inf)
    return torch.cat([gaps.flatten(), gaps.new_zeros(1)]).logsumexp(dim=0)
