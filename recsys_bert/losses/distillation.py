"""Knowledge distillation: soft targets and hidden states of a teacher.

Soft targets as in Hinton et al. 2015 (https://arxiv.org/abs/1503.02531); hidden states through linear projections and
evenly spread layers as in TinyBERT (https://arxiv.org/abs/1909.10351). Both suit any student, as a BiLSTM (Tang et al.
2019, https://arxiv.org/abs/1903.12136).
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
    """Frozen teacher, always in evaluation mode.

    No module, so that a student that holds it neither trains, saves nor counts its parameters.

    Args:
        model: The trained model.
    """

    def __init__(self, model: M) -> None:
        self._model = model.eval().requires_grad_(False)

    @contextmanager
    def on(self, device: torch.device) -> Iterator[M]:
        """Yield the model on ``device``, without gradients."""
        with torch.no_grad():
            yield self._model.to(device)


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of both softmaxes at temperature T, as a mean over all but the last axis.

    T² keeps gradients as large as those of hard targets at any T.

    Args:
        student: Logits ``[…, classes]``.
        teacher: Logits of the same shape.
        temperature: T, above 0; higher ones give more weight to unlikely classes.
    """
    predictions = (student.float() / temperature).log_softmax(dim=-1).flatten(0, -2)
    targets = (teacher.float() / temperature).log_softmax(dim=-1).flatten(0, -2)
    return temperature**2 * F.kl_div(predictions, targets, reduction="batchmean", log_target=True)


class HiddenStateLoss(nn.Module):
    """Mean squared error between hidden states of student and teacher, through a linear projection if widths differ.

    Both are standardised at every position first, so that the loss lies in [0, 4] for layers with and without a final
    norm.

    Args:
        student_dim: Hidden width of the student.
        teacher_dim: Hidden width of the teacher.
        layers: Pairs of ``layer_pairs``.
    """

    def __init__(self, student_dim: int, teacher_dim: int, layers: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.layers = list(layers)
        same = student_dim == teacher_dim
        self.maps = nn.ModuleList(nn.Identity() if same else nn.Linear(student_dim, teacher_dim) for _ in self.layers)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Mean over pairs of layers, tokens and width.

        Args:
            student: States ``[batch, seq, student_dim]``, the embedding output first.
            teacher: States ``[batch, seq, teacher_dim]``.
            mask: bool ``[batch, seq]``.
        """
        distances = []
        for projection, (ours, theirs) in zip(self.maps, self.layers, strict=True):
            near, far = projection(student[ours][mask]).float(), teacher[theirs][mask].float()
            near, far = F.layer_norm(near, near.shape[-1:]), F.layer_norm(far, far.shape[-1:])
            distances.append((near - far).square().sum() / max(1, near.numel()))
        return torch.stack(distances).mean()


def layer_pairs(student_layers: int, teacher_layers: int, layers: Sequence[int] = ()) -> list[tuple[int, int]]:
    """Pair states of the student with states of the teacher; state 0 is the embedding output.

    The only state of a student without layers is paired with the teacher's last.

    Args:
        student_layers: Number of layers of the student.
        teacher_layers: Number of layers of the teacher.
        layers: State of the teacher for each state of the student, -1 = none; empty = evenly spread, embeddings with
            embeddings and last with last.

    Raises:
        InputError: ``layers`` does not fit.
    """
    if not layers:
        if not student_layers:
            return [(0, teacher_layers)]
        return [(n, round(n * teacher_layers / student_layers)) for n in range(student_layers + 1)]
    if len(layers) != student_layers + 1 or not all(-1 <= n <= teacher_layers for n in layers) or max(layers) < 0:
        raise InputError(
            f"distillation.layers is {list(layers)}; it must name {student_layers + 1} states of the teacher, for the "
            f"student's embeddings and each layer: 0 (embeddings) to {teacher_layers}, or -1 for none, but not all."
        )
    return [(ours, theirs) for ours, theirs in enumerate(layers) if theirs >= 0]
