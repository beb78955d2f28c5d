"""Training steps of one recipe under the clock: the process that ``training_speed`` starts for every figure.

    python -m pipelines.benchmarks.training_steps --recipe pipelines/recipes/ml1m_masked.toml --steps 40

Prints one JSON line; under torchrun, the first process prints one for all. Steps run in the real loop, from one
optimiser step to the next, so that the making of batches counts. Left out are the first steps, while caches fill and
kernels are made, and each epoch's last, after which the loop writes a checkpoint. Products are measured in the same
process right afterwards, for another process may have the machine by then.
"""

import contextlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import pretrain
from pipelines.support.flags import load_config
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config

if TYPE_CHECKING:
    import torch

    from recsys_bert.training.config import TrainConfig
    from recsys_bert.training.epochs import Batches
    from recsys_bert.training.step import Batch

START_UP = 10
"""Steps before the clock starts."""

_SIDE = 2048  # of the largest square matrices whose product is measured
_OPERATORS = 15  # lines of a profile


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure training steps of one recipe."""

    recipe: Path
    """Recipe of ``pretrain``; its run folder is not written, and it is not validated."""

    steps: int = 40
    """Steps under the clock."""

    count: bool = False
    """Count the floating-point operations of the same steps, which takes as long again."""

    profile: bool = False
    """List the operators that take most of one more step."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}; one is the least.")


def run(config: Config) -> dict[str, Any]:
    """Train, measure and print.

    Returns:
        ``seq_per_s`` (sequences a second), ``seconds``, ``sequences``, ``tokens_per_sequence``, ``padding`` (share of
        positions), ``precision``, ``device``, ``processes``, ``threads`` (of each), ``torch``, ``peak_bytes`` (largest
        resident set, of all processes together), ``gpu_peak_bytes`` (0 without one), ``product_flops`` (operations a
        second by precision); where asked for, ``flops`` (operations a sequence) and ``operators``.

    Raises:
        InputError: The data has too few batches.
    """
    import torch

    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.pretrain import build
    from recsys_bert.training.run_folder import is_first_process

    recipe = read_config(pretrain.Config, config.recipe)
    training = build(recipe, open_dataset(recipe.data))
    model, batches = training.module, training.batches
    result = measure(model, batches, recipe.train, config.steps, count=config.count, profile=config.profile)
    device = next(model.parameters()).device
    result["product_flops"] = {
        "bf16": result["processes"] * product_flops(device, torch.bfloat16),
        "fp32": result["processes"] * product_flops(device, torch.float32),
    }
    if is_first_process():
        print(json.dumps(result))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return result


def measure(
    model: "torch.nn.Module",
    batches: "Batches",
    settings: "TrainConfig",
    n_steps: int,
    *,
    count: bool = False,
    profile: bool = False,
) -> dict[str, Any]:
    """Train for some steps under the clock.

    Args:
        model: Model for ``fit``.
        batches: Batches for ``fit``; their ``tokens`` are ``[sequences, seq]``, and 0 where there is padding.
        settings: Its settings.
        n_steps: Steps under the clock.
        count: Count floating-point operations as well.
        profile: List the operators of one more step as well.

    Returns:
        As ``run``, but for ``product_flops``.

    Raises:
        InputError: The data has too few batches.
    """
    import torch
    from accelerate.state import AcceleratorState

    from recsys_bert.training.loop import fit

    steps = timed_steps(n_steps + 1, batches.steps)
    clock = _Clock(batches, steps[:-1], steps[-1] if profile else None)
    endless = replace(settings, epochs=steps[-1] // batches.steps + 2, checkpoint_steps=sys.maxsize)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_EnoughError):
        fit(model, clock, endless, Path(folder), before_step=clock.tick)
    bf16, world = AcceleratorState().mixed_precision == "bf16", AcceleratorState().num_processes
    device = next(model.parameters()).device
    result: dict[str, Any] = {
        "seq_per_s": world * clock.sequences / clock.seconds,  # every process has as many of a batch
        "seconds": clock.seconds,
        "sequences": world * clock.sequences,
        "tokens_per_sequence": clock.tokens / clock.sequences,
        "padding": 1 - clock.tokens / clock.positions,
        "precision": "bf16" if bf16 else "fp32",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "processes": world,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "peak_bytes": world * clock.peak_bytes,
        "gpu_peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else 0,
    }
    if count:
        result["flops"] = count_flops(model, batches, steps[:-1], bf16=bf16) / result["sequences"]
    if profile:
        result["operators"] = clock.operators
    return result


def timed_steps(n: int, per_epoch: int) -> list[int]:
    """Numbers of the first ``n`` steps that come after the start and are not the last of their epoch.

    Raises:
        InputError: Every step is the last of its epoch.
    """
    if per_epoch < 2:
        raise InputError("the data makes one batch an epoch, which leaves nothing to time; lower the batch size.")
    steps: list[int] = []
    step = START_UP
    while len(steps) < n:
        if (step + 1) % per_epoch:
            steps.append(step)
        step += 1
    return steps


class _EnoughError(Exception):
    """Ends a training all of whose figures are taken."""


@dataclass
class _Clock:
    """Batches whose steps are timed: the time of a step runs from its start to the start of the next."""

    batches: "Batches"
    timed: list[int]
    profiled: int | None
    sizes: list[tuple[int, int, int]] = field(default_factory=list)
    seconds: float = 0.0
    sequences: int = 0
    tokens: int = 0
    positions: int = 0
    peak_bytes: int = 0
    operators: list[dict[str, Any]] = field(default_factory=list)
    profiler: Any = None

    def __post_init__(self) -> None:
        self.before = 0.0

    @property
    def steps(self) -> int:
        return self.batches.steps

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> "Iterator[Batch]":
        for batch in self.batches(epoch, first_step, rank, world):
            tokens: Any = batch["tokens"]
            self.sizes.append((len(tokens), int((tokens != 0).sum()), tokens.size))
            yield batch

    def tick(self, step: int) -> None:
        """Account for the step before ``step``; the loop reads every loss, so that no device is still at work on it."""
        from torch.profiler import profile

        now = time.perf_counter()
        if step - 1 in self.timed:
            self.seconds += now - self.before
            sequences, mask, positions = self.sizes[step - 1]
            self.sequences += sequences
            self.tokens += mask
            self.positions += positions
        if step - 1 == self.timed[-1]:
            self.peak_bytes = _peak_bytes()
            if self.profiled is None:
                raise _EnoughError
        if step == self.profiled:
            self.profiler = profile(acc_events=True)
            self.profiler.start()
        if self.profiled is not None and step == self.profiled + 1:
            self.profiler.stop()
            self.operators = _operators(self.profiler)
            raise _EnoughError
        self.before = time.perf_counter()


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB


def _operators(profiler: Any) -> list[dict[str, Any]]:
    """Operators by the time that they took themselves, on the GPU where there is one."""
    events = profiler.key_averages()
    kind = "self_device_time_total" if any(event.self_device_time_total for event in events) else "self_cpu_time_total"
    total = sum(getattr(event, kind) for event in events)
    largest = sorted(events, key=lambda event: -getattr(event, kind))[:_OPERATORS]
    return [
        {
            "operator": event.key,
            "calls": event.count,
            "ms": getattr(event, kind) / 1000,
            "share": getattr(event, kind) / total,
        }
        for event in largest
    ]


def count_flops(model: "torch.nn.Module", batches: "Batches", steps: list[int], *, bf16: bool) -> int:
    """Floating-point operations of the products, forward and backward, of all of ``steps``.

    Counted as they are computed: over padding too, and attention over the whole square where it is causal.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from recsys_bert.training.step import to_device

    device = next(model.parameters()).device
    model.train()
    # the counter knows nothing of the fused attention kernel for CPUs, hence the plain one, which has the same products
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for step in steps:
            batch: Mapping[str, Any] = next(batches(*divmod(step, batches.steps)))
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = model(to_device(batch, device))
            loss.backward()
            model.zero_grad()
    return int(counter.get_total_flops())


def product_flops(device: "torch.device", dtype: "torch.dtype", seconds: float = 1.0) -> float:
    """Operations a second of products of two square matrices, by the median over ``seconds`` of them.

    The matrices grow up to ``_SIDE`` while a product is quick: without bf16 instructions a large one takes minutes.
    """
    import torch

    def product(one: torch.Tensor, other: torch.Tensor) -> float:
        start = time.perf_counter()
        one @ other
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    side = _SIDE // 16
    while True:
        matrices = [torch.randn(side, side, device=device).to(dtype) for _ in range(2)]
        product(*matrices)
        seconds_each = [product(*matrices)]
        if side == _SIDE or seconds_each[0] > seconds / 16:
            break
        side *= 2
    while sum(seconds_each) < seconds:
        seconds_each.append(product(*matrices))
    return 2 * side**3 / statistics.median(seconds_each)


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.training_steps"))
