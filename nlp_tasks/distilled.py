"""Learning a task on texts from a larger model that was trained for it."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from nlp_tasks.model import TextModel
from nlp_tasks.qa.model import SpanModel
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.losses.distillation import HiddenStateLoss, Teacher, layer_pairs, soft_target_loss
from recsys_bert.objectives.config import DistillationConfig


class TaskLoss(Protocol):
    """A task's loss, as far as a student's teacher has to know it."""

    @property
    def model(self) -> TextModel | SpanModel:
        """What is trained."""

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch that the encoder has been over."""

    def choices(self, outputs: Tensor) -> Tensor:
        """What the model's outputs choose among, as logits ``[…, choices]``."""


class DistilledTask(nn.Module):
    """``(1 − soft_weight) · targets + soft_weight · predictions + hidden_weight · states``.

    Predictions are compared on what the task chooses among: classes, yes and no, the texts of the batch, or positions.
    Both models read the same rows, so they share a tokenizer.

    Args:
        student: The task's loss, a module; its model is trained.
        teacher: Trained for the same task; frozen here.
        config: Weights, temperature and the choice of layers.

    Raises:
        InputError: ``config.layers`` does not fit.
    """

    def __init__(self, student: TaskLoss, teacher: TextModel | SpanModel, config: DistillationConfig) -> None:
        super().__init__()
        assert isinstance(student, nn.Module)
        self.student, self.teacher, self.config = student, Teacher(teacher), config
        ours, theirs = student.model.encoder, teacher.encoder.config
        pairs = layer_pairs(ours.config.n_layers, theirs.n_layers, config.layers)
        width = ours.config.dim if ours.config.n_layers else ours.out_dim
        self.states = HiddenStateLoss(width, theirs.dim, pairs) if config.hidden_weight else None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch as the task takes it."""
        model, config, owner = self.student.model, self.config, batch["owner"]
        ours = model.encode(batch)
        with self.teacher.on(owner.device) as teacher:
            theirs = teacher.encode(batch)
            known = self.student.choices(teacher.on_output(theirs, owner))
        parts = []
        if config.soft_weight < 1:
            parts.append((1 - config.soft_weight) * self.student.loss_of(ours, batch))
        if config.soft_weight:
            asked = self.student.choices(model.on_output(ours, owner))
            parts.append(config.soft_weight * soft_target_loss(asked, known, config.temperature))
        if self.states is not None:
            own = ours.states if model.encoder.config.n_layers else (ours.tokens,)
            parts.append(config.hidden_weight * self.states(own, theirs.states, ours.mask))
        return torch.stack(parts).sum()


def check_teacher(
    student: TextModel | SpanModel,
    tokenizer: Tokenizer,
    teacher: TextModel | SpanModel,
    its_tokenizer: Tokenizer,
    longest: int,
) -> None:
    """Check that a teacher can read what its student reads.

    Args:
        student: The model that learns.
        tokenizer: Its tokenizer.
        teacher: The trained model.
        its_tokenizer: The teacher's.
        longest: Longest row in tokens.

    Raises:
        InputError: It cannot, or gives outputs of another number.
    """
    if tokenizer.tokens(range(tokenizer.size)) != its_tokenizer.tokens(range(its_tokenizer.size)):
        raise InputError(
            "the teacher has another vocabulary than its student; give the student the teacher's with tokenizer.folder."
        )
    if longest > teacher.encoder.config.max_len:
        raise InputError(
            f"the student reads {longest} tokens, its teacher {teacher.encoder.config.max_len} at most; set "
            "length.max_len to that or less."
        )
    if student.n_outputs != teacher.n_outputs:
        raise InputError(f"the student has {student.n_outputs} outputs, its teacher {teacher.n_outputs}.")


def no_and_yes(logits: Tensor) -> Tensor:
    """Logits of independent yeses ``[…]`` as logits of no and yes ``[…, 2]``."""
    return torch.stack([torch.zeros_like(logits), logits], dim=-1)
