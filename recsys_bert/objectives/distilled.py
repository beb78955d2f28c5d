"""Predicting tokens as a larger model does."""

import torch
from torch import Tensor, nn

from recsys_bert.losses.distillation import HiddenStateLoss, Teacher, layer_pairs
from recsys_bert.losses.item_softmax import soft_item_loss
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.token_prediction import TokenPrediction, at


class DistilledPrediction(nn.Module):
    """The loss of a student that learns from the targets, from a teacher's predictions, and from its hidden states.

    ``(1 − soft_weight) · targets + soft_weight · predictions + hidden_weight · states``. Predictions are compared over
    the whole catalogue, or, where the student's loss samples, over what the batch has of targets and negatives.

    Args:
        student: What is trained.
        teacher: Trained on the same rows; frozen here.
        config: Weights, temperature and the choice of layers.

    Raises:
        InputError: ``config.layers`` does not fit.
    """

    def __init__(self, student: TokenPrediction, teacher: TokenPrediction, config: DistillationConfig) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, Teacher(teacher), config
        ours, theirs = student.encoder.config, teacher.encoder.config
        pairs = layer_pairs(ours.n_layers, theirs.n_layers, config.layers)
        width = ours.dim if ours.n_layers else student.encoder.out_dim
        self.states = HiddenStateLoss(width, theirs.dim, pairs) if config.hidden_weight else None

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss of a batch as ``TokenPrediction`` takes it."""
        positions, config = batch["positions"], self.config
        ours, rows = self.student.encode(batch), self._rows(batch)
        with self.teacher.on(positions.device) as teacher:
            theirs = teacher.encode(batch)
            known = teacher.queries(at(theirs.tokens, positions)), teacher.items(rows)
        parts = []
        if config.soft_weight < 1:
            parts.append((1 - config.soft_weight) * self.student.loss_of(ours, batch))
        if config.soft_weight:
            asked, chunk = self.student.queries(at(ours.tokens, positions)), self.student.loss.chunk
            soft = soft_item_loss(asked, self.student.items(rows), known, temperature=config.temperature, chunk=chunk)
            parts.append(config.soft_weight * soft)
        if self.states is not None:
            own = ours.states if self.student.encoder.config.n_layers else (ours.tokens,)
            parts.append(config.hidden_weight * self.states(own, theirs.states, ours.mask))
        return torch.stack(parts).sum()

    def _rows(self, batch: dict[str, Tensor]) -> Tensor | None:
        """Rows over which predictions are compared; None for all."""
        if self.student.loss.name == "full":
            return None
        return torch.cat([batch["targets"].long(), batch["negatives"].long().flatten()]).unique()
