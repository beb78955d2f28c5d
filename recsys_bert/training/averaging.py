"""Weight averaging: SWA and EMA.

SWA is the equal average (Izmailov et al. 2018, https://arxiv.org/abs/1803.05407), EMA the exponential one (Polyak and
Juditsky 1992, https://doi.org/10.1137/0330046; with a warm-up as in TensorFlow's ExponentialMovingAverage).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from recsys_bert.training.config import TrainConfig
from recsys_bert.training.row_average import RowAverage
from recsys_bert.training.sparse_adam import row_tables


class WeightAverage:
    """Running average of the weights; training is not affected.

    Args:
        model: The model that is trained, on its final device.
        config: ``averaging``.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model, self.config = model, config
        lazy = [table.weight for table in row_tables(model, config)] if config.averaging.method == "ema" else []
        self.tables = [RowAverage(table) for table in lazy]
        self.weights: list[Tensor] = [
            parameter for parameter in model.parameters() if parameter.requires_grad and not _is_in(parameter, lazy)
        ]
        self.values: list[Tensor] = []  # as ``weights``; empty before the first update
        self.count = 0

    def before_step(self) -> None:
        """Bring the table rows up to date that the next optimiser step changes."""
        for table in self.tables if self.count else []:
            table.before_change()

    def after_step(self, epoch: int, step: int) -> None:
        """Update after optimiser step ``step`` of ``epoch``, both counted from 1, if due."""
        every = 1 if self.config.averaging.method == "ema" else self.config.averaging.every_steps
        if epoch >= self.config.averaging.first_epoch and every and step % every == 0:
            self._add()

    def after_epoch(self, epoch: int) -> None:
        """Update at the end of ``epoch``, counted from 1, if due."""
        at_ends = self.config.averaging.method == "swa" and not self.config.averaging.every_steps
        if at_ends and epoch >= self.config.averaging.first_epoch:
            self._add()

    @contextmanager
    def in_place(self, batches: Iterable[dict[str, Any]]) -> Iterator[None]:
        """Swap the average in for the block, then restore the weights bit-exact.

        Args:
            batches: Training batches on the model's device, read only to recompute batch norm statistics.
        """
        if not self.values:
            yield
            return
        weights = [weight.detach().clone() for weight in self._all()]
        statistics = [buffer for norm in _batch_norms(self.model) for buffer in norm.buffers()]
        old_statistics = [buffer.clone() for buffer in statistics]
        try:
            self.put()
            recompute_batch_norm(self.model, batches)
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._all(), weights)
                for buffer, before in zip(statistics, old_statistics, strict=True):
                    buffer.copy_(before)

    def put(self) -> None:
        """Overwrite the model's weights with the average, if there is one yet."""
        if self.values:
            with torch.no_grad():
                torch._foreach_copy_(self._all(), [*self.values, *(table.value() for table in self.tables)])

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        tables = {"tables": [table.state_dict() for table in self.tables]} if self.tables and self.count else {}
        return {"count": self.count, "values": self.values, **tables}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of ``state_dict``."""
        self.count = state["count"]
        pairs = zip(state["values"], self.weights, strict=bool(state["values"]))
        self.values = [value.to(weight.device) for value, weight in pairs]
        for table, saved in zip(self.tables, state.get("tables", []), strict=bool(self.count)):
            table.load_state_dict(saved)

    def _all(self) -> list[Tensor]:
        return [*self.weights, *(table.weight for table in self.tables)]

    def _add(self) -> None:
        n, self.count = self.count, self.count + 1
        if not n:
            self.values = [weight.detach().clone() for weight in self.weights]
            for table in self.tables:
                table.start()
        elif self.config.averaging.method == "swa":
            self._move(1 / (n + 1))
        else:  # smaller decay at first: the first weights are the worst
            decay = min(self.config.averaging.decay, (1 + n) / (10 + n))
            self._move(1 - decay)
            for table in self.tables:
                table.after_step(decay)

    def _move(self, share: float) -> None:
        with torch.no_grad():
            torch._foreach_lerp_(self.values, self.weights, share)


def recompute_batch_norm(model: nn.Module, batches: Iterable[dict[str, Any]]) -> None:
    """Recompute batch norm statistics over ``batches`` with the current weights.

    Running statistics belong to the trained weights, not to their average. All other modules are in evaluation mode
    meanwhile, as when the statistics are used. Without batch norms nothing is read.
    """
    norms = _batch_norms(model)
    if not norms:
        return
    modes, momenta = {module: module.training for module in model.modules()}, [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # equal mean over the batches
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode


def _is_in(parameter: Tensor, tensors: list[Tensor]) -> bool:
    return any(parameter is tensor for tensor in tensors)


def _batch_norms(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
