"""Validation metrics of pretraining."""

import numpy as np
import torch
from torch import nn

from nlp_tasks.pretraining.batches import PretrainingBatches
from recsys_bert.objectives.module import ObjectiveModule
from recsys_bert.progress import Progress
from recsys_bert.training.step import to_device

_SAMPLING = 0
"""Seed of what a module samples itself, so that the metrics of all epochs are of the same inputs."""


def evaluate(module: ObjectiveModule, batches: PretrainingBatches, max_steps: int | None = None) -> dict[str, float]:
    """Means of the module's metrics over all batches, with the same masks every time.

    Args:
        module: In training; evaluated without dropout.
        batches: Validation examples.
        max_steps: Batches at most; None = all.

    Returns:
        ``accuracy`` and ``log_likelihood`` (nats) of the predicted tokens, ``perplexity``, and what else the
        objective and the second loss report; metrics of nothing are left out.
    """
    assert isinstance(module, nn.Module)
    device, was_training = next(module.parameters()).device, module.training
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    steps = batches.steps if max_steps is None else min(max_steps, batches.steps)
    module.eval()
    with (
        torch.inference_mode(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        Progress("evaluating predictions", steps, "batches") as progress,
    ):
        torch.manual_seed(_SAMPLING)
        for _, values in zip(range(steps), batches(0), strict=False):
            batch = module.read(to_device(values, device))
            for name, (total, n) in module.metrics(module.prediction.encode(batch), batch).items():
                sums[name], counts[name] = sums.get(name, 0.0) + total, counts.get(name, 0) + n
            progress.advance()
    module.train(was_training)
    means = {name: total / counts[name] for name, total in sums.items() if counts[name]}
    if "log_likelihood" in means:
        means["perplexity"] = float(np.exp(-means["log_likelihood"]))
    return means
