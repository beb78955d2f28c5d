"""Learning-rate courses as factors of the highest rate."""

import math

from recsys_bert.training.config import ScheduleConfig, TrainConfig


def lr_factor(step: int, config: TrainConfig, total_steps: int) -> float:
    """Factor in [0, 1] for optimiser step ``step``, counted from 0.

    Args:
        step: Steps taken so far.
        config: ``schedule``; the first warm-up step is 1 / warmup_steps, never 0.
        total_steps: Steps at which a falling schedule reaches its floor.
    """
    schedule = config.schedule
    warmup = schedule.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    if schedule.name == "constant":
        return 1.0
    if schedule.name == "inverse_sqrt":  # of Attention Is All You Need (https://arxiv.org/abs/1706.03762)
        since = max(1, warmup)
        return math.sqrt(since / (since + step - warmup))
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return schedule.floor + (1 - schedule.floor) * _falling(done, schedule)


def _falling(done: float, schedule: ScheduleConfig) -> float:
    """From 1 to 0 while ``done`` goes from 0 to 1."""
    if schedule.name == "cosine_restarts":  # SGDR with equal cycles (https://arxiv.org/abs/1608.03983)
        done = 1.0 if done >= 1 else (done * schedule.cycles) % 1.0
    if schedule.name in ("cosine", "cosine_restarts"):
        return 0.5 * (1.0 + math.cos(math.pi * done))
    power = schedule.power if schedule.name == "polynomial" else 1.0
    return float((1.0 - done) ** power)
