"""Losses over a large table of items: pure functions on tensors, gradients included.

Both losses compute their gradients on the way forward, chunk by chunk, so that scores live no longer than it takes to
use them. No tensor of all scores is built, and on CPU a chunk stays in the cache, which halves the time of a step.

Shapes: ``queries [n, dim]``, ``table [items, dim]``, ``targets [n]`` rows of the table, ``negatives [batch, k]`` rows
drawn for each history and shared by its queries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_SCORES = 1 << 19  # sampled scores at a time


def full_cross_entropy(
    queries: Tensor, table: Tensor, targets: Tensor, weights: Tensor | None = None, *, chunk: int
) -> Tensor:
    """Mean cross-entropy over the whole table, ``chunk`` queries at a time; with ``weights [n]``, their weighted mean.

    ``F.linear_cross_entropy`` does the same; in bf16 on CPU it needs more than twice as long
    (``pipelines/benchmarks/loss_speed.py``).

    Without any target it is 0, as the other losses are: a batch may hold nothing but unknown items.
    """
    dtype = _product_type(queries)
    with torch.autocast(queries.device.type, enabled=False):
        loss: Tensor = _FullCrossEntropy.apply(queries, table, targets, weights, chunk, dtype)
    return loss


class _FullCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        table: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        chunk: int,
        dtype: torch.dtype,
    ) -> Tensor:
        queries_, items = queries.to(dtype), table.to(dtype)
        weighted_queries = _weighted(queries_, weights)
        d_queries, d_table = torch.empty_like(queries_), torch.zeros_like(table)
        p_target = torch.empty(len(queries), device=queries.device)
        for part in _parts(len(queries), chunk):
            target = targets[part, None]
            probabilities = (queries_[part] @ items.T).softmax(dim=1)
            picked = probabilities.gather(1, target)
            p_target[part] = picked[:, 0]
            probabilities[torch.arange(len(target), device=target.device), target[:, 0]] = picked[:, 0] - 1
            d_scores = probabilities  # not by scatter_, which on CPU copies all of a 16-bit tensor, twice
            d_queries[part] = d_scores @ items
            d_table += d_scores.T @ weighted_queries[part]
        losses = -p_target.log()
        zero = (p_target < torch.finfo(torch.float32).tiny).nonzero()[:, 0]  # no logarithm
        for part in _parts(len(zero), chunk):
            scores = (queries_[zero[part]] @ items.T).float()
            losses[zero[part]] = scores.logsumexp(dim=1) - scores.gather(1, targets[zero[part], None])[:, 0]
        d_queries = _weighted(d_queries, weights).to(queries.dtype)
        return _keep(ctx, _weighted(losses, weights).sum(), _total(weights, len(queries)), d_queries, d_table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*_scaled(ctx, gradient), None, None, None, None)


def soft_item_loss(
    queries: Tensor,
    table: Tensor,
    teacher: tuple[Tensor, Tensor],
    weights: Tensor | None = None,
    *,
    temperature: float,
    chunk: int,
) -> Tensor:
    """``soft_target_loss`` between two softmaxes over one table of items, ``chunk`` queries at a time.

    Args:
        queries: ``[n, dim]`` of the student.
        table: ``[items, dim]`` of the student.
        teacher: Its queries ``[n, d]`` and its table ``[items, d]``, which take no gradient.
        weights: ``[n]`` weights of the mean over queries; None: 1.
        temperature: Divides the logits of both.
        chunk: Queries scored at a time.
    """
    dtype = _product_type(queries)
    with torch.autocast(queries.device.type, enabled=False):
        loss: Tensor = _SoftItemLoss.apply(queries, table, *teacher, weights, temperature, chunk, dtype)
    return loss


class _SoftItemLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        table: Tensor,
        teacher_queries: Tensor,
        teacher_table: Tensor,
        weights: Tensor | None,
        temperature: float,
        chunk: int,
        dtype: torch.dtype,
    ) -> Tensor:
        queries_, items = (queries / temperature).to(dtype), table.to(dtype)
        weighted_queries = _weighted(queries_, weights)
        teacher_queries_, teacher_items = (teacher_queries / temperature).to(dtype), teacher_table.to(dtype)
        d_queries, d_table = torch.empty_like(queries_), torch.zeros_like(table)
        total = torch.zeros((), device=queries.device)
        for part in _parts(len(queries), chunk):
            teacher_log = (teacher_queries_[part] @ teacher_items.T).float().log_softmax(dim=1)
            student_log = (queries_[part] @ items.T).float().log_softmax(dim=1)
            teacher_probabilities = teacher_log.exp()
            losses = teacher_probabilities * (teacher_log - student_log)
            total += (losses if weights is None else _weighted(losses, weights[part])).sum()
            d_scores = (student_log.exp_() - teacher_probabilities).to(dtype)
            d_queries[part] = d_scores @ items
            d_table += d_scores.T @ weighted_queries[part]
        # T² on the loss; each query's 1 / T stands in its gradient once more, in the table's it is in queries_ already
        gradients = _weighted(d_queries, weights).to(queries.dtype) * temperature, d_table * temperature**2
        return _keep(ctx, total * temperature**2, _total(weights, len(queries)), *gradients)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*_scaled(ctx, gradient), None, None, None, None, None, None)


@dataclass(frozen=True)
class Sampled:
    """Targets and negatives of a sampled loss.

    Negatives are drawn for each history, not once per batch: with the same few for thousands of queries the sampling
    noise does not average out. On the simulated log 64 per history reach the full softmax's NDCG, 256 per batch half.
    """

    row: Tensor
    """``[n]`` history of each query, ascending."""

    targets: Tensor
    """``[n]`` catalogue rows."""

    positives: Tensor
    """``[n, dim]`` vectors of the targets."""

    negatives: Tensor
    """``[batch, k]`` catalogue rows; one that is a query's target is no negative for that query."""

    vectors: Tensor
    """``[batch, k, dim]`` vectors of the negatives."""

    weights: Tensor | None = None
    """``[n]`` weights of the mean over queries; None: 1."""


def sampled_softmax(queries: Tensor, sampled: Sampled, positive_log_q: Tensor, negative_log_q: Tensor) -> Tensor:
    """Mean cross-entropy over the target and its negatives, corrected for how they were drawn (logQ).

    With the log of each item's expected number of draws subtracted, the loss estimates the full softmax (Bengio and
    Senécal 2008, https://doi.org/10.1109/TNN.2007.912312; Yi et al. 2019, https://doi.org/10.1145/3298689.3346996).

    Args:
        queries: ``[n, dim]``, history by history.
        sampled: What they are compared with.
        positive_log_q: ``[n]`` log of the expected draws of each target.
        negative_log_q: ``[batch, k]``, the same of each negative; ``inf`` leaves it out.
    """

    def softmax(positive: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.logaddexp(positive, scores.logsumexp(dim=2))
        scores.sub_(total[:, :, None]).exp_()
        return total - positive, (positive - total).expm1()

    return _sampled_loss(queries, sampled, positive_log_q, negative_log_q, softmax)


def gbce(
    queries: Tensor,
    sampled: Sampled,
    positive_log_q: Tensor | None = None,
    negative_log_q: Tensor | None = None,
    *,
    n_items: int,
    calibration: float,
) -> Tensor:
    """Generalised binary cross-entropy of gSASRec (https://arxiv.org/abs/2308.07192).

    The target's probability is raised to β = α (t (1 − 1/α) + 1/α), with the sampling rate α = k / (items − 1), at most
    1, which undoes the overconfidence that few negatives cause. In log space: log σ(s)^β = −β softplus(−s).

    Args:
        queries: ``[n, dim]``, history by history.
        sampled: What they are compared with.
        positive_log_q: ``[n]``, subtracted from the targets' scores: log of their expected draws over those of uniform
            sampling, which the paper assumes; None = they were drawn uniformly.
        negative_log_q: ``[batch, k]``, the same of each negative; ``inf`` leaves it out.
        n_items: Size of the catalogue.
        calibration: t; 0 gives plain binary cross-entropy, 1 full calibration.
    """
    k = sampled.negatives.shape[1]
    rate = min(1.0, k / max(1, n_items - 1))  # negatives may outnumber a small catalogue
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)

    def binary(positive: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        losses = power * F.softplus(-positive) + F.softplus(scores).sum(dim=2)
        scores.sigmoid_().div_(k + 1)
        return losses / (k + 1), (-positive).sigmoid() * (-power / (k + 1))

    zero = queries.new_zeros((), dtype=torch.float32)
    positive_log_q = zero.expand(len(queries)) if positive_log_q is None else positive_log_q
    negative_log_q = zero.expand(sampled.negatives.shape) if negative_log_q is None else negative_log_q
    return _sampled_loss(queries, sampled, positive_log_q, negative_log_q, binary)


Compare = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(positive [b, t], scores [b, t, k]) -> losses [b, t], their gradients by positive``; turns ``scores`` into the
losses' gradients by them, in place."""


def _sampled_loss(
    queries: Tensor, sampled: Sampled, positive_log_q: Tensor, negative_log_q: Tensor, compare: Compare
) -> Tensor:
    vectors, dtype = (sampled.positives, sampled.vectors), _product_type(queries)
    with torch.autocast(queries.device.type, enabled=False):
        loss: Tensor = _SampledLoss.apply(queries, *vectors, sampled, positive_log_q, negative_log_q, compare, dtype)
    return loss


class _SampledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        positives: Tensor,
        vectors: Tensor,
        sampled: Sampled,
        positive_log_q: Tensor,
        negative_log_q: Tensor,
        compare: Compare,
        dtype: torch.dtype,
    ) -> Tensor:
        batch, k, _ = vectors.shape
        slot, width = _slots(sampled.row, batch)

        def pad(values: Tensor, empty: float) -> Tensor:
            """``[n, …]`` → ``[batch, width, …]``."""
            rows = values.new_full((batch * width, *values.shape[1:]), empty)
            return rows.index_copy_(0, slot, values).view(batch, width, *values.shape[1:])

        padded, items = pad(queries.to(dtype), 0.0), vectors.to(dtype)
        positive = pad((queries * positives).sum(dim=1).float() - positive_log_q, 0.0)
        targets, negatives = pad(sampled.targets.int(), -1), sampled.negatives.int()
        weights = sampled.weights
        # of each query, 0 on padding
        mask = pad(torch.ones_like(sampled.targets, dtype=torch.bool), False) if weights is None else pad(weights, 0.0)
        d_padded, d_items, d_positive = torch.empty_like(padded), torch.empty_like(items), torch.empty_like(positive)
        total = torch.zeros((), device=queries.device)
        for part in _parts(batch, max(1, _SCORES // max(1, width * k))):
            scores = torch.bmm(padded[part], items[part].transpose(1, 2)).float().sub_(negative_log_q[part, None])
            scores.masked_fill_(targets[part, :, None] == negatives[part, None], -torch.inf)
            losses, d_positive[part] = compare(positive[part], scores)
            if weights is not None:
                d_positive[part] *= mask[part]
            total += (losses * mask[part]).sum()
            d_scores = scores.mul_(mask[part, :, None]).to(dtype)
            d_padded[part] = torch.bmm(d_scores, items[part])
            d_items[part] = torch.bmm(d_scores.transpose(1, 2), padded[part])
        d_score = d_positive.flatten().index_select(0, slot)[:, None]
        d_queries = d_padded.flatten(0, 1).index_select(0, slot).to(queries.dtype) + d_score * positives
        d_positives = (d_score * queries).to(positives.dtype)
        n = _total(weights, len(queries))
        return _keep(ctx, total, n, d_queries.to(queries.dtype), d_positives, d_items.to(vectors.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*_scaled(ctx, gradient), None, None, None, None, None)


def _slots(row: Tensor, batch: int) -> tuple[Tensor, int]:
    """Slot of each query once histories are padded to the one with most queries, and that number."""
    counts = torch.bincount(row, minlength=batch)
    width = int(counts.max()) if len(row) else 0
    return row * width + torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row], width


def _parts(n: int, step: int) -> list[slice]:
    return [slice(first, first + step) for first in range(0, n, step)]


def _product_type(like: Tensor) -> torch.dtype:
    """Autocast's type where it is on, else that of the tensor."""
    kind = like.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else like.dtype


def _weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply each of ``values [n, …]`` by its weight."""
    if weights is None:
        return values
    return values * weights.to(values.dtype).view(-1, *[1] * (values.ndim - 1))


def _total(weights: Tensor | None, n: int) -> float:
    """Divisor of a mean over ``n`` queries: the sum of their weights."""
    return float(max(1, n)) if weights is None else float(weights.double().sum()) or 1.0


def _keep(ctx: Any, total: Tensor, n: float, *gradients: Tensor) -> Tensor:
    ctx.save_for_backward(*gradients)
    ctx.n = n
    return total / n


def _scaled(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
    return tuple(saved * (gradient / ctx.n) for saved in ctx.saved_tensors)
