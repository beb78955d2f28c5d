"""Learning-rate schedules, against those of transformers."""

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
from recsys_bert.training.config import ScheduleConfig, TrainConfig
from recsys_bert.training.schedules import lr_factor, warn_of_warmup

KINDS = ("constant", "linear", "cosine", "cosine_restarts", "polynomial", "inverse_sqrt")


def inverse_sqrt(optimiser, *, num_warmup_steps, num_training_steps):
    """Without an end, as it falls for ever."""
    return get_inverse_sqrt_schedule(optimiser, num_warmup_steps)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"name": "linear"}, get_linear_schedule_with_warmup),
        ({"name": "cosine"}, get_cosine_schedule_with_warmup),
        (
            {"name": "cosine", "floor": 0.1},
            partial(get_cosine_with_min_lr_schedule_with_warmup, min_lr_rate=0.1),
        ),
        (
            {"name": "cosine_restarts", "cycles": 3},
            partial(get_cosine_with_hard_restarts_schedule_with_warmup, num_cycles=3),
        ),
        (
            {"name": "polynomial", "power": 3.0, "floor": 0.2},
            partial(get_polynomial_decay_schedule_with_warmup, power=3.0, lr_end=0.2),
        ),
        ({"name": "inverse_sqrt"}, inverse_sqrt),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_the_fall_is_that_of_transformers(settings, reference):
    config = TrainConfig(schedule=ScheduleConfig(warmup_steps=4, **settings))
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
    config = TrainConfig(schedule=ScheduleConfig(name=schedule, warmup_steps=4))
    assert [lr_factor(step, config, total_steps=20) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize("schedule", KINDS)
def test_a_schedule_shorter_than_its_warm_up_or_without_one_stays_a_number(schedule):
    for warmup in (0, 10):
        config = TrainConfig(schedule=ScheduleConfig(name=schedule, warmup_steps=warmup))
        factors = [lr_factor(step, config, total_steps=5) for step in range(12)]
        assert all(0 <= factor <= 1 and math.isfinite(factor) for factor in factors)


def test_constant_never_falls():
    assert lr_factor(10_000, TrainConfig(), total_steps=10) == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "linear", "floor": 1.0}, r"floor is 1\.0; it must lie in \[0, 1\)"),
        ({"cycles": 0}, "cycles is 0; it must be at least 1"),
        ({"power": 0.0}, r"power is 0\.0; it must be above 0"),
        ({"floor": 0.1}, r"schedule\.floor is 0\.1, which train\.schedule\.name 'constant' does not use"),
        (
            {"name": "cosine", "cycles": 3},
            "cycles is 3, which .* 'cosine' does not use. Leave it out; .* is 2",
        ),
        ({"name": "linear", "power": 3.0}, r"power is 3\.0, which .* 'linear' does not use"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        ScheduleConfig(**changes)


def test_a_warm_up_longer_than_the_training_is_warned_of(capsys):
    config = TrainConfig(schedule=ScheduleConfig(warmup_steps=6))
    warn_of_warmup(config, total_steps=6)
    assert capsys.readouterr().err == ""
    warn_of_warmup(config, total_steps=3)
    assert "has 3 steps: the rate ends at 50% of train.lr" in capsys.readouterr().err
