"""Distillation of text tasks: learn from a larger model trained for the same task."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.losses.distillation import soft_target_loss
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.distilled import Distilled
from recsys_bert.objectives.module import Batch


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


class TaskStudent(nn.Module):
    """A task's loss as the student of a teacher; predictions are compared on the task's choices.

    Choices are classes, yes and no, the texts of the batch, or positions. Both models read the same rows, so they share
    a tokenizer.

    Args:
        loss: The task's loss, a module.
    """

    def __init__(self, loss: TaskLoss) -> None:
        super().__init__()
        self.loss: Any = loss

    @property
    def prediction(self) -> TaskModel:
        """The model that is trained."""
        model: TaskModel = self.loss.model
        return model

    def read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch as it is."""
        return batch

    def loss_of(self, encoded: EncoderOutput, batch: Batch) -> Tensor:
        """The task's loss."""
        loss: Tensor = self.loss.loss_of(encoded, batch)
        return loss

    def soft_targets(self, teacher: TaskModel, taught: EncoderOutput, batch: Batch) -> Tensor:
        """The teacher's logits of the choices."""
        logits: Tensor = self.loss.choices(teacher.on_output(taught, batch["owner"]))
        return logits

    def soft_loss(self, encoded: EncoderOutput, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        """Mean loss against ``soft_targets``."""
        logits = self.loss.choices(self.prediction.on_output(encoded, batch["owner"]))
        return soft_target_loss(logits, targets, temperature)


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
    return Distilled(TaskStudent(cast(TaskLoss, loss)), teacher.model, config)


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
        raise InputError(
            f"the student has {student.model.n_outputs} outputs, its teacher {teacher.model.n_outputs}; train both "
            "with the same form and labels."
        )


def no_and_yes(logits: Tensor) -> Tensor:
    """Logits of no and yes ``[…, 2]`` from those of yes ``[…]``."""
    return torch.stack([torch.zeros_like(logits), logits], dim=-1)
