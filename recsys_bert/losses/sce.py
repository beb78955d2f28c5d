"""Scalable cross-entropy, SCE (https://arxiv.org/abs/2409.18721): queries and items compared in buckets."""

import torch
from torch import Tensor

from recsys_bert.losses.config import BucketsConfig


def sce(
    queries: Tensor, table: Tensor, targets: Tensor, weights: Tensor | None = None, *, buckets: BucketsConfig
) -> Tensor:
    """Mean cross-entropy of queries over their target and the items of their bucket.

    Centres of buckets are random combinations of the queries. A bucket holds the queries and the items whose inner
    product with its centre is largest, so that hard negatives meet the queries they are hard for. A query in several
    buckets counts with its largest loss, one in none not at all. One bucket of everything is the full cross-entropy.

    Args:
        queries: ``[n, dim]``.
        table: ``[items, dim]``.
        targets: ``[n]`` rows of the table.
        weights: ``[n]`` weights of the mean over queries; None: 1.
        buckets: Number and sizes; 2√n buckets of √n queries where not given.
    """
    if not len(queries):
        return queries.sum() + table.sum() * 0
    root = len(queries) ** 0.5
    number, size = buckets.number or round(2 * root) or 1, buckets.queries or round(root)
    with torch.no_grad():
        mix = torch.randn(number, len(queries), device=queries.device, dtype=queries.dtype)
        centres = mix @ queries
        member = (centres @ queries.T).topk(min(size, len(queries)), dim=1).indices
        items = (centres @ table.T).topk(min(buckets.items, len(table)), dim=1).indices
    positive = (queries * table[targets]).sum(1).float()[member]
    scores = torch.bmm(queries[member], table[items].transpose(1, 2)).float()
    scores = scores.masked_fill(targets[member][:, :, None] == items[:, None], -torch.inf)
    losses = torch.logaddexp(positive, scores.logsumexp(dim=2)) - positive
    nowhere = losses.new_full((len(queries),), -torch.inf)
    largest = nowhere.scatter_reduce(0, member.flatten(), losses.flatten(), "amax")
    counted = (largest > -torch.inf).to(losses) * (1 if weights is None else weights)
    return torch.where(largest > -torch.inf, largest, 0.0) @ counted / (counted.sum() + (counted.sum() == 0))
