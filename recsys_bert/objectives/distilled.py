"""Distillation of a larger model into any student: its predictions and its hidden states beside the true targets."""

import torch
from torch import Tensor, nn

from recsys_bert.losses.distillation import HiddenStateLoss, Teacher, layer_pairs
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.module import EncodingModel, Student


class Distilled(nn.Module):
    """``(1 − soft_weight) · targets + soft_weight · predictions + hidden_weight · states``.

    Args:
        student: Trained; any objective's module, or a text task's loss.
        teacher: Trained model that reads the same rows; frozen here.
        config: Weights, temperature and pairs of layers.

    Raises:
        InputError: ``config.layers`` does not fit.
    """

    def __init__(self, student: Student, teacher: EncodingModel, config: DistillationConfig) -> None:
        super().__init__()
        assert isinstance(student, nn.Module)
        assert isinstance(teacher, nn.Module)
        self.student, self.teacher, self.config = student, Teacher(teacher), config
        encoder, taught = student.prediction.encoder, teacher.encoder.config
        pairs = layer_pairs(encoder.config.n_layers, taught.n_layers, config.layers)
        width = encoder.config.dim if encoder.config.n_layers else encoder.out_dim
        self.states = HiddenStateLoss(width, taught.dim, pairs) if config.hidden_weight else None

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Loss of a batch as the student takes it."""
        student, config = self.student, self.config
        batch = student.read(batch)
        encoded = student.prediction.encode(batch)
        with self.teacher.on(batch["tokens"].device) as teacher:
            taught = teacher.encode(batch)
            targets = student.soft_targets(teacher, taught, batch) if config.soft_weight else None
        parts = []
        if config.soft_weight < 1:
            parts.append((1 - config.soft_weight) * student.loss_of(encoded, batch))
        if config.soft_weight:
            parts.append(config.soft_weight * student.soft_loss(encoded, targets, batch, config.temperature))
        if self.states is not None:
            states = encoded.states if student.prediction.encoder.config.n_layers else (encoded.tokens,)
            parts.append(config.hidden_weight * self.states(states, taught.states, encoded.mask))
        return torch.stack(parts).sum()
