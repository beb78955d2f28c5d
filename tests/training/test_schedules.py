"""Courses of the learning rate."""

import math

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from recsys_bert.training.schedules import lr_factor


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)],
)
def test_the_fall_is_that_of_transformers(schedule, reference):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = reference(optimiser, num_warmup_steps=4, num_training_steps=20)
    for step in range(20):
        ours = lr_factor(step, schedule=schedule, warmup_steps=4, total_steps=20)
        if step >= 4:  # theirs begins the warm-up with a step of rate 0, which learns nothing
            assert ours == pytest.approx(theirs.get_last_lr()[0])
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_warm_up_climbs_evenly_to_the_highest_rate(schedule):
    factors = [lr_factor(step, schedule=schedule, warmup_steps=4, total_steps=20) for step in range(5)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_schedule_shorter_than_its_warm_up_stays_a_number():
    factors = [lr_factor(step, schedule="linear", warmup_steps=10, total_steps=5) for step in range(12)]
    assert all(0 <= factor <= 1 and math.isfinite(factor) for factor in factors)


def test_constant_never_falls():
    assert lr_factor(10_000, schedule="constant", warmup_steps=0, total_steps=10) == 1.0
