"""Learning from a larger, trained model: its softened predictions and its hidden states.

Soft targets as in Hinton et al. 2015 (https://arxiv.org/abs/1503.02531); hidden states through linear maps and by
evenly spread layers as in TinyBERT (https://arxiv.org/abs/1909.10351). Neither cares what the student is made of: it
may well be a BiLSTM (Tang et al. 2019, https://arxiv.org/abs/1903.12136).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.errors import InputError

M = TypeVar("M", bound=nn.Module)


class Teacher(Generic[M]):
    """A trained model that is only asked: frozen, in evaluation mode whatever its student does, and no part of it.

    This is no module, so that a student that holds it neither trains, nor saves, nor counts its parameters.

    Args:
        model: The trained model.
    """

    def __init__(self, model: M) -> None:
        self._model = model.eval().requires_grad_(False)

    @contextmanager
    def on(self, device: torch.device) -> Iterator[M]:
        """Lend the model on ``device``, without gradients."""
        with torch.no_grad():
            yield self._model.to(device)


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of both softmaxes at temperature T, as a mean over all but the last axis.

    T² keeps the gradients as large as those of hard targets whatever T is.

    Args:
        student: Logits ``[…, classes]``.
        teacher: Logits of the same shape.
        temperature: T, above 0; higher ones show more of what the teacher holds for unlikely.
    """
    answers = (student.float() / temperature).log_softmax(dim=-1).flatten(0, -2)
    targets = (teacher.float() / temperature).log_softmax(dim=-1).flatten(0, -2)
    return temperature**2 * F.kl_div(answers, targets, reduction="batchmean", log_target=True)


class HiddenStateLoss(nn.Module):
    """Mean squared distance of a student's hidden states from a teacher's, through a linear map where widths differ.

    Both are brought to mean 0 and variance 1 at every position first, so that the loss lies in [0, 4] and means the
    same for layers that end in a norm and for those that do not.

    Args:
        student_dim: Width of the student's states.
        teacher_dim: Width of the teacher's.
        layers: As ``layer_pairs`` gives them.
    """

    def __init__(self, student_dim: int, teacher_dim: int, layers: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.layers = list(layers)
        same = student_dim == teacher_dim
        self.maps = nn.ModuleList(nn.Identity() if same else nn.Linear(student_dim, teacher_dim) for _ in self.layers)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Mean over pairs of layers, real positions and width.

        Args:
            student: Its states, ``[batch, seq, student_dim]`` each, the embedding output first.
            teacher: Its states, ``[batch, seq, teacher_dim]`` each.
            mask: bool ``[batch, seq]``.
        """
        distances = []
        for map_, (ours, theirs) in zip(self.maps, self.layers, strict=True):
            near, far = map_(student[ours][mask]).float(), teacher[theirs][mask].float()
            near, far = F.layer_norm(near, near.shape[-1:]), F.layer_norm(far, far.shape[-1:])
            distances.append((near - far).square().sum() / max(1, near.numel()))
        return torch.stack(distances).mean()


def layer_pairs(student_layers: int, teacher_layers: int, chosen: Sequence[int] = ()) -> list[tuple[int, int]]:
    """Which of the teacher's states each of the student's is compared with; state 0 is the embedding output.

    The one state of a student without layers is its output, compared with the teacher's last.

    Args:
        student_layers: How many layers the student has.
        teacher_layers: How many the teacher has.
        chosen: The teacher's state for each of the student's, from state 0 up, -1 for none; empty spreads them evenly,
            from embeddings on embeddings to last on last.

    Raises:
        InputError: ``chosen`` does not fit.
    """
    if not chosen:
        if not student_layers:
            return [(0, teacher_layers)]
        return [(n, round(n * teacher_layers / student_layers)) for n in range(student_layers + 1)]
    if len(chosen) != student_layers + 1 or not all(-1 <= n <= teacher_layers for n in chosen) or max(chosen) < 0:
        raise InputError(
            f"distillation.layers is {list(chosen)}; it must name {student_layers + 1} states of the teacher, for the "
            f"student's embeddings and each layer: 0 (embeddings) to {teacher_layers}, or -1 for none, but not all."
        )
    return [(ours, theirs) for ours, theirs in enumerate(chosen) if theirs >= 0]
