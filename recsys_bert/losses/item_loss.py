"""The item loss of a model: similarity, negatives, logQ and the loss itself, as ``LossConfig`` says."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.item_softmax import Sampled, full_cross_entropy, gbce, sampled_softmax
from recsys_bert.losses.negatives import Popularity, expected_draws
from recsys_bert.losses.rece import rece
from recsys_bert.losses.sce import sce

Lookup = Callable[[Tensor | None], Tensor]
"""Item side ``[n, dim]`` of rows ``[n]``, or of all items for None."""

BUCKETED = {"rece": rece, "sce": sce}
"""Losses over buckets of the catalogue: ``(queries, table, targets, weights, *, buckets)``."""


class ItemLoss(nn.Module):
    """Loss of query vectors against a catalogue.

    Args:
        config: The loss.
        first_item: First row that is an item.
        n_rows: Rows of the item table.
        counts: Training events of each row, or their weights, ``[n_rows]``; needed to train with logQ.
        n_users: Users; each has room for mined negatives.
    """

    log_q: Tensor
    hard_rows: Tensor

    def __init__(
        self,
        config: LossConfig,
        *,
        first_item: int,
        n_rows: int,
        counts: Popularity | None = None,
        n_users: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.first_item, self.n_rows = config, first_item, n_rows
        negatives = config.negatives
        self.register_buffer("log_q", _log_q(config, first_item, n_rows, counts), persistent=False)
        self.mines = config.samples and negatives.hard_negatives > 0 and n_users > 0
        if self.mines:  # part of checkpoints, so that a resumed run has the same negatives
            self.register_buffer("hard_rows", torch.zeros(n_users, negatives.hard_negatives, dtype=torch.int64))

    @property
    def item_length(self) -> float | None:
        """Length of vectors of ``item_side``; None where they differ."""
        return None if self.config.similarity == "dot" else 1.0

    def query_side(self, x: Tensor) -> Tensor:
        """Vectors as they enter the inner product: unit length over the temperature for cosine."""
        return x if self.config.similarity == "dot" else F.normalize(x, dim=-1) / self.config.temperature

    def item_side(self, x: Tensor) -> Tensor:
        """Item vectors as they enter the inner product: unit length for cosine."""
        return x if self.config.similarity == "dot" else F.normalize(x, dim=-1)

    def forward(self, batch: dict[str, Tensor], lookup: Lookup, *, distinct: bool = True) -> Callable[[Tensor], Tensor]:
        """Loss of a batch as a function of its queries ``[n, dim]``; items are looked up once for all calls.

        Args:
            batch: ``tokens [batch, seq]``, ``positions [n]`` in the flattened batch, ``targets [n]``; for sampled
                losses ``negatives [batch, k]``, ``history_hits`` bool ``[batch, k]`` where those are masked out, and
                ``users [batch]`` where negatives are mined; ``weights [n]`` where targets are weighted, whose weighted
                mean the loss is then.
            lookup: Gives the item side.
            distinct: Look up each row once, however often it was drawn; not worth it for a plain table.
        """
        targets, weights = batch["targets"].long(), batch.get("weights")
        if not self.config.samples:
            table, targets = lookup(None), targets - self.first_item
            if bucketed := BUCKETED.get(self.config.name):
                buckets = self.config.buckets
                return partial(bucketed, table=table, targets=targets, weights=weights, buckets=buckets)
            return partial(full_cross_entropy, table=table, targets=targets, weights=weights, chunk=self.config.chunk)
        negatives, log_q = self._negatives(batch)
        positives, vectors = _look_up(lookup, targets, negatives, distinct)
        row = batch["positions"] // batch["tokens"].shape[1]
        sampled = Sampled(
            row=row, targets=targets, positives=positives, negatives=negatives, vectors=vectors, weights=weights
        )
        log_qs = {"positive_log_q": self.log_q[targets], "negative_log_q": log_q}
        if self.config.name == "sampled":
            return partial(sampled_softmax, sampled=sampled, **log_qs)
        n_items = self.n_rows - self.first_item
        return partial(gbce, sampled=sampled, **log_qs, n_items=n_items, calibration=self.config.calibration)

    def _negatives(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Drawn and mined negatives ``[batch, k]`` with their logQ; infinite for those that are masked out."""
        negatives = batch["negatives"].long()
        log_q = self.log_q[negatives]
        if "history_hits" in batch:
            log_q = log_q.masked_fill(batch["history_hits"], torch.inf)
        if not self.mines:
            return negatives, log_q
        mined = self.hard_rows[batch["users"]]
        # they were not drawn, so they count as they are; row 0 stands where none was mined yet
        no_correction = torch.zeros(mined.shape, device=mined.device).masked_fill(mined < self.first_item, torch.inf)
        return torch.cat([negatives, mined], dim=1), torch.cat([log_q, no_correction], dim=1)


def _log_q(config: LossConfig, first_item: int, n_rows: int, counts: Popularity | None) -> Tensor:
    """Log of the expected draws by row; 0 where the loss is not corrected, empty where it cannot be."""
    negatives = config.negatives
    if not (config.samples and negatives.log_q):
        return torch.zeros(n_rows)
    if counts is None:
        return torch.zeros(0)
    draws = expected_draws(counts, first_item, negatives)
    if config.name == "gbce":  # made for uniform draws: only the difference from those is corrected
        draws *= (n_rows - first_item) / (negatives.in_batch + negatives.uniform)
    return torch.from_numpy(np.log(np.maximum(draws, 1e-12))).float()


def _look_up(lookup: Lookup, targets: Tensor, negatives: Tensor, distinct: bool) -> tuple[Tensor, Tensor]:
    """Vectors of targets ``[n, dim]`` and of negatives ``[batch, k, dim]``."""
    if not distinct:
        return lookup(targets), lookup(negatives)
    rows, index = torch.cat([targets, negatives.flatten()]).unique(return_inverse=True)
    items = lookup(rows)
    positives = items.index_select(0, index[: len(targets)])
    return positives, items.index_select(0, index[len(targets) :]).view(*negatives.shape, -1)
