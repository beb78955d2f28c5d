"""Losses over a large table of items: pure functions on tensors.

Shapes: ``queries [n, dim]``, ``table [items, dim]``, ``targets [n]`` rows of the table, ``negatives [batch, k]`` rows
drawn for each history and shared by its queries. No function builds more than ``[chunk, items]`` or ``[n, k]`` scores.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def full_cross_entropy(queries: Tensor, table: Tensor, targets: Tensor, *, chunk: int) -> Tensor:
    """Mean cross-entropy over the whole table, ``chunk`` queries at a time; no score outlives its chunk.

    Without any target it is 0, as the other losses are: a batch may hold nothing but unknown items.
    """
    if not len(targets):
        return (queries @ table[:1].T).sum()  # 0, with a gradient of 0
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=chunk)
    return F.linear_cross_entropy(queries, table, targets, options=options)


def sampled_softmax(
    positive: Tensor, negative: Tensor, hits: Tensor, positive_log_q: Tensor, negative_log_q: Tensor
) -> Tensor:
    """Mean cross-entropy over the target and its negatives, corrected for how they were drawn (logQ).

    With the log of each item's expected number of draws subtracted, the loss estimates the full softmax (Bengio and
    Senécal 2008, https://doi.org/10.1109/TNN.2007.912312; Yi et al. 2019, https://doi.org/10.1145/3298689.3346996).

    Args:
        positive: ``[n]`` scores of the targets.
        negative: ``[n, k]`` scores of the negatives.
        hits: bool ``[n, k]``, True where a negative is not one (it is the target itself): left out.
        positive_log_q: ``[n]`` log of the expected draws of each target.
        negative_log_q: ``[n, k]`` or ``[k]``, the same of each negative.
    """
    others = (negative - negative_log_q).masked_fill(hits, -torch.inf)
    target = positive - positive_log_q
    return _mean(torch.logaddexp(target, others.logsumexp(dim=1)) - target)


def own_scores(queries: Tensor, row: Tensor, vectors: Tensor) -> Tensor:
    """Scores of every query against the negatives of its own history, as one batched product.

    Negatives drawn for each history, and not once for the whole batch, are what makes sampled losses learn: with the
    same few for thousands of queries their chance does not average out. On the simulated log, 64 per history reach
    the full softmax's NDCG, 256 per batch half of it.

    Args:
        queries: ``[n, dim]``, history by history.
        row: ``[n]`` history of each query, ascending.
        vectors: ``[batch, k, dim]`` negatives of each history.

    Returns:
        ``[n, k]``.
    """
    batch, k, dim = vectors.shape
    counts = torch.bincount(row, minlength=batch)
    width = int(counts.max()) if len(row) else 0
    place = row * width + torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    padded = queries.new_zeros(batch * width, dim).index_copy(0, place, queries)
    scores = torch.bmm(padded.view(batch, width, dim), vectors.to(padded.dtype).transpose(1, 2))
    return scores.view(-1, k).index_select(0, place)


def gbce(positive: Tensor, negative: Tensor, hits: Tensor, *, n_items: int, calibration: float) -> Tensor:
    """Generalised binary cross-entropy of gSASRec (https://arxiv.org/abs/2308.07192).

    The target's probability is raised to β = α (t (1 − 1/α) + 1/α), with the sampling rate α = k / (items − 1), which
    undoes the overconfidence that few negatives cause. In log space: log σ(s)^β = −β softplus(−s).

    Args:
        positive: ``[n]`` scores of the targets.
        negative: ``[n, k]`` scores of the negatives.
        hits: bool ``[n, k]``, True where a negative is the target itself: left out.
        n_items: Size of the catalogue.
        calibration: t; 0 gives plain binary cross-entropy, 1 full calibration.
    """
    rate = negative.shape[1] / max(1, n_items - 1)
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    against = F.softplus(negative).masked_fill(hits, 0.0).sum(dim=1)
    return _mean((power * F.softplus(-positive) + against) / (negative.shape[1] + 1))


def _mean(losses: Tensor) -> Tensor:
    return losses.sum() / max(1, len(losses))  # 0 of none, where ``mean`` gives NaN
