"""Learning-rate courses as factors of the highest rate."""

import math


def lr_factor(step: int, *, schedule: str, warmup_steps: int, total_steps: int) -> float:
    """Factor in [0, 1] for optimiser step ``step``, counted from 0.

    Args:
        step: Steps taken so far.
        schedule: ``"constant"``, ``"linear"`` or ``"cosine"``.
        warmup_steps: Steps of the linear climb; its first step is 1 / warmup_steps, never 0.
        total_steps: Steps at which ``linear`` and ``cosine`` reach zero.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    share = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return 1.0 - share if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))
