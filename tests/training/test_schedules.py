"""Courses of the learning rate."""

import math
from functools import partial

import pytest
import torch
from transformers import (
    get_cosine_schedule_with_warmup,
    get_cosine_with_hard_restarts_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
    get_polynomial_decay_schedule_with_warmup,
)

from recsys_bert.errors import InputError
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.schedules import lr_factor

KINDS = ("constant", "linear", "cosine", "cosine_restarts", "polynomial", "inverse_sqrt")


def inverse_sqrt(optimiser, *, num_warmup_steps, num_training_steps):
    """It falls for ever, and is not told of an end."""
    return get_inverse_sqrt_schedule(optimiser, num_warmup_steps)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"schedule": "linear"}, get_linear_schedule_with_warmup),
        ({"schedule": "cosine"}, get_cosine_schedule_with_warmup),
        (
            {"schedule": "cosine", "schedule_floor": 0.1},
            partial(get_cosine_with_min_lr_schedule_with_warmup, min_lr_rate=0.1),
        ),
        (
            {"schedule": "cosine_restarts", "schedule_cycles": 3},
            partial(get_cosine_with_hard_restarts_schedule_with_warmup, num_cycles=3),
        ),
        (
            {"schedule": "polynomial", "schedule_power": 3.0, "schedule_floor": 0.2},
            partial(get_polynomial_decay_schedule_with_warmup, power=3.0, lr_end=0.2),
        ),
        ({"schedule": "inverse_sqrt"}, inverse_sqrt),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_the_fall_is_that_of_transformers(settings, reference):
    config = TrainConfig(warmup_steps=4, **settings)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = reference(optimiser, num_warmup_steps=4, num_training_steps=20)
    for step in range(21):
        ours = lr_factor(step, config, total_steps=20)
        if step >= 4:  # theirs begins the warm-up with a step of rate 0, which learns nothing
            assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize("schedule", KINDS)
def test_warm_up_climbs_evenly_to_the_highest_rate(schedule):
    config = TrainConfig(schedule=schedule, warmup_steps=4)
    assert [lr_factor(step, config, total_steps=20) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize("schedule", KINDS)
def test_a_schedule_shorter_than_its_warm_up_or_without_one_stays_a_number(schedule):
    for warmup in (0, 10):
        config = TrainConfig(schedule=schedule, warmup_steps=warmup)
        factors = [lr_factor(step, config, total_steps=5) for step in range(12)]
        assert all(0 <= factor <= 1 and math.isfinite(factor) for factor in factors)


def test_constant_never_falls():
    assert lr_factor(10_000, TrainConfig(), total_steps=10) == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule_floor": 1.0}, r"schedule_floor is 1\.0; it must lie in \[0, 1\)"),
        ({"schedule_cycles": 0}, "schedule_cycles is 0; it must be at least 1"),
        ({"schedule_power": 0.0}, r"schedule_power is 0\.0; it must be above 0"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**changes)
