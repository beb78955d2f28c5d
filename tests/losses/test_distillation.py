"""Soft targets and hidden states against plain loops over their formulas."""

import math

import pytest
import torch
from torch import nn

from recsys_bert.errors import InputError
from recsys_bert.losses.distillation import HiddenStateLoss, Teacher, layer_pairs, soft_target_loss
from recsys_bert.objectives.config import DistillationConfig


def softmax(logits):
    powers = [math.exp(value) for value in logits]
    return [value / sum(powers) for value in powers]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_targets_are_the_divergence_times_the_squared_temperature(temperature):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    total = 0.0
    for ours, theirs in zip(student.view(6, 5).tolist(), teacher.view(6, 5).tolist(), strict=True):
        q = softmax([value / temperature for value in ours])
        p = softmax([value / temperature for value in theirs])
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    result = soft_target_loss(student, teacher, temperature)
    assert result.item() == pytest.approx(temperature**2 * total / 6, rel=1e-5)
    assert soft_target_loss(teacher, teacher, temperature).item() == pytest.approx(0.0, abs=1e-6)


def test_gradients_of_soft_targets_do_not_shrink_with_the_temperature():
    student, teacher = torch.zeros(1, 4, requires_grad=True), torch.tensor([[0.1, -0.1, 0.05, -0.05]])
    sizes = [
        torch.autograd.grad(soft_target_loss(student, teacher, temperature), student)[0].norm().item()
        for temperature in (1.0, 10.0)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def standard(x):
    return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()


@pytest.mark.parametrize("teacher_dim", [4, 6])
def test_hidden_states_are_compared_position_by_position_where_real(teacher_dim):
    torch.manual_seed(0)
    loss = HiddenStateLoss(4, teacher_dim, [(0, 0), (1, 3)])
    student, teacher = torch.randn(2, 2, 3, 4).unbind(), torch.randn(4, 2, 3, teacher_dim).unbind()
    mask = torch.tensor([[True, True, True], [True, False, False]])
    pairs = []
    for n, (ours, theirs) in enumerate([(0, 0), (1, 3)]):
        squares = []
        for row, place in [(0, 0), (0, 1), (0, 2), (1, 0)]:
            near = loss.maps[n](student[ours][row, place])
            squares.append((standard(near) - standard(teacher[theirs][row, place])).square().mean())
        pairs.append(sum(squares) / 4)
    torch.testing.assert_close(loss(student, teacher, mask), sum(pairs) / 2)
    assert bool(list(loss.parameters())) is (teacher_dim != 4)


def test_equal_states_are_at_no_distance_and_nothing_real_is_no_number_missing():
    states = [torch.randn(2, 3, 4)]
    loss = HiddenStateLoss(4, 4, [(0, 0)])
    assert loss(states, [5 * states[0] + 1], torch.ones(2, 3, dtype=torch.bool)).item() == pytest.approx(0, abs=1e-4)
    assert loss(states, states, torch.zeros(2, 3, dtype=torch.bool)).item() == 0.0


@pytest.mark.parametrize(
    ("student", "teacher", "layers", "pairs"),
    [
        (4, 12, (), [(0, 0), (1, 3), (2, 6), (3, 9), (4, 12)]),
        (2, 3, (), [(0, 0), (1, 2), (2, 3)]),
        (0, 3, (), [(0, 3)]),
        (2, 6, (-1, -1, 6), [(2, 6)]),
        (1, 6, (0, 5), [(0, 0), (1, 5)]),
    ],
)
def test_layers_are_spread_from_the_embeddings_to_the_last_or_chosen(student, teacher, layers, pairs):
    assert layer_pairs(student, teacher, layers) == pairs


@pytest.mark.parametrize("layers", [(0,), (0, 1, 7), (-1, -1, -1), (-2, 0, 1)])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(InputError, match=r"distillation\.layers is .*it must name 3 states"):
        layer_pairs(2, 6, layers)


def test_a_teacher_stays_frozen_and_in_evaluation_and_is_no_part_of_its_student():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    student = nn.Linear(3, 3)
    student.teacher = Teacher(model)
    student.train()
    assert len(list(student.parameters())) == 2
    assert set(student.state_dict()) == {"weight", "bias"}
    with student.teacher.on(torch.device("cpu")) as lent:
        result = lent(torch.ones(2, 3))
    assert torch.equal(result[0], result[1])  # no dropout
    assert not result.requires_grad
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_bilstm_comes_near_its_teacher_on_logits_and_states():
    """A student of another kind, on what both of them say of sequences."""
    torch.manual_seed(0)
    teacher_states, targets = torch.randn(3, 16, 5, 12).unbind(), torch.randn(16, 4) * 2
    inputs = torch.randn(16, 5, 6)
    lstm, head = nn.LSTM(6, 4, bidirectional=True, batch_first=True), nn.Linear(8, 4)
    hidden = HiddenStateLoss(8, 12, [(0, 2)])
    mask = torch.ones(16, 5, dtype=torch.bool)
    parameters = [*lstm.parameters(), *head.parameters(), *hidden.parameters()]
    optimiser, losses = torch.optim.Adam(parameters, lr=0.05), []
    for _ in range(150):
        states = lstm(inputs)[0]
        parts = soft_target_loss(head(states.mean(1)), targets, 2.0), hidden([states], teacher_states, mask)
        optimiser.zero_grad()
        sum(parts).backward()
        optimiser.step()
        losses.append([part.item() for part in parts])
    assert losses[-1][0] < 0.1 * losses[0][0]
    assert losses[-1][1] < 0.8 * losses[0][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soft_weight": 1.5}, r"soft_weight is 1\.5; it must lie in \[0, 1\]"),
        ({"temperature": 0.0}, r"temperature is 0\.0; it must be above 0"),
        ({"hidden_weight": -1.0}, r"hidden_weight is -1\.0; it cannot be negative"),
        ({"soft_weight": 0.0, "hidden_weight": 0.0}, "the teacher would teach nothing"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        DistillationConfig(**changes)
