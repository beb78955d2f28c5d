"""Reduced cross-entropy, RECE (https://arxiv.org/abs/2408.02354): queries and items compared where hashes agree."""

import torch
from torch import Tensor

from recsys_bert.losses.config import BucketsConfig


def rece(
    queries: Tensor, table: Tensor, targets: Tensor, weights: Tensor | None = None, *, buckets: BucketsConfig
) -> Tensor:
    """Mean cross-entropy of queries over their target and the items that fall near them in random hashes.

    Each round draws a random direction per bucket. Queries and items are sorted by the bucket whose direction they
    agree with most and cut into as many chunks; a chunk of queries meets the chunk of items at its place and
    ``neighbours`` on either side. An item met in several rounds counts once. One bucket of everything is the full
    cross-entropy.

    Args:
        queries: ``[n, dim]``.
        table: ``[items, dim]``.
        targets: ``[n]`` rows of the table.
        weights: ``[n]`` weights of the mean over queries; None: 1.
        buckets: Number, √n where not given; neighbours; rounds.
    """
    if not len(queries):
        return queries.sum() + table.sum() * 0
    number = min(buckets.number or round(len(queries) ** 0.5), len(queries), len(table))
    rounds = [_compare(queries, table, number, buckets.neighbours) for _ in range(buckets.rounds)]
    scores, items = (torch.cat(parts, dim=1) for parts in zip(*rounds, strict=True))
    if buckets.rounds > 1:
        scores = scores - _times_met(items).log()
    scores = scores.masked_fill((items < 0) | (items == targets[:, None]), -torch.inf)
    positive = (queries * table[targets]).sum(1).float()
    losses = torch.logaddexp(positive, scores.logsumexp(dim=1)) - positive
    if weights is None:
        return losses.mean()
    return losses @ weights / (weights.sum() + (weights.sum() == 0))


def _compare(queries: Tensor, table: Tensor, number: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """Scores float32 ``[n, k]`` of each query with the items it meets in one round, and their rows; −1: no item."""
    with torch.no_grad():
        directions = torch.randn(queries.shape[1], number, device=queries.device, dtype=queries.dtype)
        of_queries, of_items = (_chunks((x @ directions).argmax(1), number) for x in (queries, table))
        padded = torch.nn.functional.pad(of_items, (0, 0, neighbours, neighbours), value=-1)
        near = torch.cat([padded[first : first + number] for first in range(2 * neighbours + 1)], dim=1)
        slot = torch.empty(len(queries), dtype=torch.int64, device=queries.device)
        filled = (of_queries >= 0).flatten()
        slot[of_queries.flatten()[filled]] = filled.nonzero()[:, 0]
    scores = torch.bmm(queries[of_queries.clamp(min=0)], table[near.clamp(min=0)].transpose(1, 2))
    return scores.flatten(0, 1)[slot].float(), near[slot // of_queries.shape[1]]


def _chunks(bucket: Tensor, number: int) -> Tensor:
    """Rows sorted by bucket, cut into ``number`` chunks of nearly one size: ``[number, size]``, −1 where shorter."""
    order, n = bucket.argsort(stable=True), len(bucket)
    first = torch.arange(number + 1, device=bucket.device) * n // number
    index = first[:-1, None] + torch.arange(-(-n // number), device=bucket.device)
    return torch.where(index < first[1:, None], order[index.clamp(max=n - 1)], -1)


def _times_met(items: Tensor) -> Tensor:
    """Occurrences of each item in its row, ``[n, k]``."""
    ordered = items.sort(dim=1).values
    return torch.searchsorted(ordered, items, right=True) - torch.searchsorted(ordered, items)
