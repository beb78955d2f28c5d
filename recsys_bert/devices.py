"""Native number formats of the device, and work spread over its cores."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # x86, x86, Arm: as torch.cpu.get_capabilities calls them


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Return True if matrix products use bf16; ``auto`` takes it where it is native."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    # oneDNN also says yes where it would emulate bf16 with AVX-512, at about a third of float32's speed
    return any(torch.cpu.get_capabilities().get(name, False) for name in _BF16_INSTRUCTIONS)


@cache
def lstm_runs_in_bf16(device_type: str) -> bool:
    """Check, once, that an LSTM runs under autocast to bf16; oneDNN has no such primitive without AVX-512.

    Random numbers are drawn aside, so that asking changes no training.
    """
    if device_type != "cpu":
        return True
    try:
        with torch.random.fork_rng(devices=[]), torch.autocast(device_type, torch.bfloat16):
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True


@contextmanager
def one_core_each(device: torch.device, tasks: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a ``map`` whose tasks run in parallel, one core each; sequentially on a GPU or with one task.

    Parallel batches keep cores busier than one batch's small products spread over all cores. Inference mode and
    autocast are per thread: a task has to enter them itself.
    """
    cores = torch.get_num_threads()
    if device.type != "cpu" or min(tasks, cores) < 2:
        yield map
        return
    pool = ThreadPoolExecutor(min(tasks, cores), initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # new threads start with the number of the last call anywhere
