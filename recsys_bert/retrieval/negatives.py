"""Mined negatives: the nearest items of every user outside the history, refreshed while a model trains."""

from dataclasses import asdict

import numpy as np
import torch
from torch import nn

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.losses.item_loss import ItemLoss
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.retrieval.ranker import Ranker


class HardNegativeMiner:
    """Fill ``item_loss.hard_rows`` every ``refresh_steps`` optimiser steps; call it before each step.

    Only items with a training event are mined: others exist after the cut alone, and as negatives they would never be
    recommended.

    Args:
        model: The module in training; in evaluation mode while its vectors are computed.
        item_loss: Its loss.
        ranker: Ranks with the model.
        dataset: The log; its training events are the histories.
        index: Index type to search.
        n_steps: Optimiser steps of the training.

    Raises:
        InputError: Fewer items with training events than ``skip_top + hard_negatives``, or too few steps to mine once.
    """

    def __init__(
        self,
        model: nn.Module,
        item_loss: ItemLoss,
        ranker: Ranker,
        dataset: ClickDataset,
        index: IndexConfig,
        n_steps: int,
    ) -> None:
        self.model, self.item_loss, self.ranker, self.index = model, item_loss, ranker, index
        self.config, histories = item_loss.config.negatives, dataset.histories
        self.rows = np.flatnonzero(dataset.vocabulary.counts > 0)
        if self.config.skip_top + self.config.hard_negatives > len(self.rows):
            raise InputError(
                f"loss.negatives.skip_top + hard_negatives is {self.config.skip_top} + {self.config.hard_negatives}, "
                f"but only {len(self.rows)} items have a training event."
            )
        if self.config.refresh_steps >= n_steps:
            raise InputError(
                f"loss.negatives.refresh_steps is {self.config.refresh_steps}, but the training has {n_steps} steps: "
                f"nothing would be mined. Set it below {n_steps}, or hard_negatives to 0."
            )
        users = (histories.train_end > histories.offsets[:-1]).nonzero()[0]
        stop = histories.train_end[users]
        self.queries = Queries(histories, users, histories.offsets[users], stop, stop, stop, timed=dataset.has_times)
        self.n_users = histories.n_users

    def __call__(self, step: int) -> None:
        """Mine before every ``refresh_steps``-th step but the first."""
        if step == 0 or step % self.config.refresh_steps:
            return
        training = self.model.training
        self.model.eval()
        ranker, k = self.ranker, self.config.skip_top + self.config.hard_negatives
        index = ItemIndex.build(ranker.item_vectors()[self.rows], self.rows, **asdict(self.index))
        nearest, _ = index.search(ranker.user_vectors(self.queries), k, seen=self.queries.seen())
        rows = np.zeros((self.n_users, self.config.hard_negatives), np.int64)
        rows[self.queries.users] = nearest[:, self.config.skip_top :].clip(min=0)
        self.item_loss.hard_rows = torch.from_numpy(rows).to(self.item_loss.log_q.device)
        self.model.train(training)
