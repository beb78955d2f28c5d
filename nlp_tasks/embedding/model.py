"""Losses of sentence vectors on the outputs of a text model."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_tasks.embedding.config import Loss
from nlp_tasks.model import TextModel, task_loss
from recsys_bert.losses.contrastive import info_nce, pair_ranking_loss


class EmbeddingLoss(nn.Module):
    """Contrastive, ranking or regression loss on cosines; the loss that ``fit`` minimises.

    Args:
        model: Without an output layer.
        loss: ``simcse``, ``in_batch``, ``cosent`` or ``cosine``.
        temperature: Divides cosines; not for ``cosine``.
        width: Texts of an example: 1 for ``simcse``, 2, or 3 with hard negatives.
        auxiliary_weight: Share of the loss on the last layer, where the model has an auxiliary head.
    """

    def __init__(
        self, model: TextModel, loss: Loss, temperature: float, width: int, auxiliary_weight: float = 0.8
    ) -> None:
        super().__init__()
        self.model, self.loss, self.temperature, self.width = model, loss, temperature, width
        self.auxiliary_weight = auxiliary_weight

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the examples; ``batch["numbers"]`` int and ``batch["grades"]`` float."""
        if self.loss == "simcse":
            batch = twice(batch)
        encoded = self.model.encode(batch)
        return task_loss(self.model, encoded, batch, partial(self._of_vectors, batch=batch), self.auxiliary_weight)

    def _of_vectors(self, vectors: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss on vectors ``[texts, dim]``, those of an example side by side."""
        if self.loss == "simcse":
            first, second = vectors.chunk(2)
            return info_nce(first, second, temperature=self.temperature)
        parts = [vectors[n :: self.width] for n in range(self.width)]
        if self.loss == "in_batch":
            same = false_negatives(batch["numbers"])
            return info_nce(parts[0], torch.cat(parts[1:]), temperature=self.temperature, same=same)
        cosines = F.cosine_similarity(parts[0].float(), parts[1].float())
        if self.loss == "cosent":
            return pair_ranking_loss(cosines, batch["grades"], temperature=self.temperature)
        return F.mse_loss(cosines, batch["grades"])


def twice(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Batch with all rows twice, the second half as examples of their own: each copy has a dropout of its own."""
    owner = batch["owner"]
    rows = {name: torch.cat([batch[name], batch[name]]) for name in ("tokens", "segments")}
    return {**batch, **rows, "owner": torch.cat([owner, owner + int(owner[-1]) + 1])}


def false_negatives(numbers: Tensor) -> Tensor:
    """Mask of keys that are no negatives: the query itself, its positive again, or another match of it in the batch.

    Args:
        numbers: ``[n, width]`` of query, positive and hard negative; equal texts have equal numbers.

    Returns:
        bool ``[n, n * (width - 1)]``, positives before hard negatives.
    """
    query, positive = numbers[:, 0], numbers[:, 1]
    keys = numbers[:, 1:].T.reshape(-1)
    table = int(numbers.max()) + 1
    matches = torch.cat([query * table + positive, positive * table + query, query * table + query])
    return torch.isin(query[:, None] * table + keys[None, :], matches)
