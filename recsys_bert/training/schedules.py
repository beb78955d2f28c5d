"""Learning-rate schedules as factors of the highest rate."""

import math
import sys

from recsys_bert.training.config import ScheduleConfig, TrainConfig


def warn_of_warmup(config: TrainConfig, total_steps: int) -> None:
    """Print a warning where the training is too short for its warm-up and never reaches ``lr``."""
    warmup = config.schedule.warmup_steps
    if warmup > total_steps:
        print(
            f"warning: train.schedule.warmup_steps is {warmup:,}, and the training has {total_steps:,} steps: "
            f"the rate ends at {total_steps / warmup:.0%} of train.lr. Warm up for fewer steps, or train longer.",
            file=sys.stderr,
        )


def lr_factor(step: int, config: TrainConfig, total_steps: int) -> float:
    """Learning-rate factor in [0, 1] at optimiser step ``step``, counted from 0.

    Args:
        step: Finished steps.
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
    progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return schedule.floor + (1 - schedule.floor) * _falling(progress, schedule)


def _falling(progress: float, schedule: ScheduleConfig) -> float:
    """Fall from 1 to 0 while ``progress`` goes from 0 to 1."""
    if schedule.name == "cosine_restarts":  # SGDR with equal cycles (https://arxiv.org/abs/1608.03983)
        progress = 1.0 if progress >= 1 else (progress * schedule.cycles) % 1.0
    if schedule.name in ("cosine", "cosine_restarts"):
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    power = schedule.power if schedule.name == "polynomial" else 1.0
    return float((1.0 - progress) ** power)
