"""Distillation of text tasks: learn from a larger model trained for the same task."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.losses.distillation import HiddenStateLoss, Teacher, layer_pairs, soft_target_loss
from recsys_bert.objectives.config import DistillationConfig


class TaskModel(Protocol):
    """A task's model, as far as distillation calls it."""

    n_outputs: int
    """Numbers per example."""

    encoder: Encoder
    """The encoder."""

    def encode(self, batch: Mapping[str, Tensor]) -> EncoderOutput:
        """Encoder outputs of a batch."""

    def on_output(self, encoded: EncoderOutput, owner: Tensor) -> Tensor:
        """Outputs from encoder outputs."""


class TaskLoss(Protocol):
    """A task's loss, as far as distillation calls it."""

    @property
    def model(self) -> TaskModel:
        """The model that is trained."""

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch from encoder outputs."""

    def choices(self, outputs: Tensor) -> Tensor:
        """Logits ``[…, choices]`` of the classes that the outputs decide among."""


class Trained(Protocol):
    """A trained task: model, tokenizer, and the longest row that it reads."""

    model: Any
    tokenizer: Tokenizer

    @property
    def max_len(self) -> int:
        """Longest row in tokens."""


class DistilledTask(nn.Module):
    """``(1 − soft_weight) · targets + soft_weight · predictions + hidden_weight · states``.

    Predictions are compared on the task's choices: classes, yes and no, the texts of the batch, or positions. Both
    models read the same rows, so they share a tokenizer.

    Args:
        student: The task's loss, a module; its model is trained.
        teacher: Model trained for the same task; frozen here.
        config: Weights, temperature and the choice of layers.

    Raises:
        InputError: ``config.layers`` does not fit.
    """

    def __init__(self, student: TaskLoss, teacher: Any, config: DistillationConfig) -> None:
        super().__init__()
        assert isinstance(student, nn.Module)
        self.student, self.config, self.teacher = student, config, Teacher[Any](teacher)
        encoder, teacher_encoder = student.model.encoder, teacher.encoder.config
        pairs = layer_pairs(encoder.config.n_layers, teacher_encoder.n_layers, config.layers)
        width = encoder.config.dim if encoder.config.n_layers else encoder.out_dim
        self.states = HiddenStateLoss(width, teacher_encoder.dim, pairs) if config.hidden_weight else None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch as the task takes it."""
        model, config, owner = self.student.model, self.config, batch["owner"]
        encoded = model.encode(batch)
        with self.teacher.on(owner.device) as teacher:
            teacher_encoded = teacher.encode(batch)
            targets = self.student.choices(teacher.on_output(teacher_encoded, owner))
        parts = []
        if config.soft_weight < 1:
            parts.append((1 - config.soft_weight) * self.student.loss_of(encoded, batch))
        if config.soft_weight:
            logits = self.student.choices(model.on_output(encoded, owner))
            parts.append(config.soft_weight * soft_target_loss(logits, targets, config.temperature))
        if self.states is not None:
            states = encoded.states if model.encoder.config.n_layers else (encoded.tokens,)
            parts.append(config.hidden_weight * self.states(states, teacher_encoded.states, encoded.mask))
        return torch.stack(parts).sum()


def distilled(loss: nn.Module, student: Trained, teacher: Trained | None, config: DistillationConfig) -> nn.Module:
    """Add a teacher to a task's loss; the loss itself without a teacher.

    Args:
        loss: The task's loss, a ``TaskLoss``.
        student: The task that is trained.
        teacher: A trained one.
        config: Weights, temperature and the choice of layers.

    Raises:
        InputError: The teacher cannot read the student's rows, or has another number of outputs.
    """
    if teacher is None:
        return loss
    check_teacher(student, teacher)
    return DistilledTask(cast(TaskLoss, loss), teacher.model, config)


def check_teacher(student: Trained, teacher: Trained) -> None:
    """Check that a teacher can read its student's rows and has as many outputs.

    Raises:
        InputError: It cannot, or has not.
    """
    size = student.tokenizer.size
    if student.tokenizer.tokens(range(size)) != teacher.tokenizer.tokens(range(teacher.tokenizer.size)):
        raise InputError(
            "the teacher has another vocabulary than its student; give the student the teacher's with tokenizer.folder."
        )
    longest = teacher.model.encoder.config.max_len
    if student.max_len > longest:
        raise InputError(
            f"the student reads {student.max_len} tokens, its teacher {longest} at most; set length.max_len to that or "
            "less."
        )
    if student.model.n_outputs != teacher.model.n_outputs:
        raise InputError(f"the student has {student.model.n_outputs} outputs, its teacher {teacher.model.n_outputs}.")


def no_and_yes(logits: Tensor) -> Tensor:
    """Logits of no and yes ``[…, 2]`` from those of yes ``[…]``."""
    return torch.stack([torch.zeros_like(logits), logits], dim=-1)
