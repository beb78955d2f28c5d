"""Row-wise Adam for large embedding tables: updates only the rows that a step reads.

A sampled loss reads a few rows of the item table, and a batch of text a few of the n-gram table (``encoder.ngrams``).
Autograd then gives a sparse gradient; update, clipping and optimiser state keep to those rows, so a step costs the same
at any table size.

It is Adam without a first moment. A row without a gradient does not move, and the decay of its second moment is applied
later as a power of β₂: the result equals updating all rows at every step. (In ``torch.optim.SparseAdam`` moments decay
only at a row's own steps, and rare rows learn more slowly than under Adam.) The second moment is one number per row,
the mean over its width, as in Adam-mini (https://arxiv.org/abs/2406.16793): the state is two numbers per row, where
Adam has twice the row.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.ngrams import NGrams
from recsys_bert.errors import InputError
from recsys_bert.training.config import TrainConfig


def row_tables(model: nn.Module, config: TrainConfig) -> list[nn.Embedding]:
    """List the tables in ``model`` that row-wise Adam updates.

    N-gram tables always, unless attacked (an attack perturbs a full table); token tables with
    ``config.optimiser.sparse_adam``.

    Raises:
        InputError: See ``token_tables``.
    """
    attacked = f".{config.adversarial.table}" if config.adversarial.method != "none" else None
    ngrams = [
        module.table
        for name, module in model.named_modules()
        if isinstance(module, NGrams) and module.table.weight.requires_grad
        if attacked is None or not f".{name}.table".endswith(attacked)
    ]
    return [*(token_tables(model) if config.optimiser.sparse_adam else []), *ngrams]


def token_tables(model: nn.Module) -> list[nn.Embedding]:
    """List the trained token tables of the encoders in ``model``.

    Raises:
        InputError: There is none.
    """
    tables = dict.fromkeys(module.embeddings.token for module in model.modules() if isinstance(module, Encoder))
    if trained := [table for table in tables if table.weight.requires_grad]:
        return trained
    raise InputError(
        "train.optimiser.sparse_adam is for the item table of an encoder that is trained; there is none here."
    )


@contextmanager
def kept_from_ddp(model: nn.Module, tables: Sequence[nn.Embedding]) -> Iterator[None]:
    """Exclude ``tables`` from DDP, if it wraps ``model`` within; ``mean_over_processes`` averages their gradients.

    Like all other weights they start as in the first process.
    """
    weights = {id(table.weight) for table in tables}
    names = [name for name, weight in model.named_parameters(remove_duplicate=False) if id(weight) in weights]
    vars(model)["_ddp_params_and_buffers_to_ignore"] = names  # DDP reads this
    try:
        yield
    finally:
        del vars(model)["_ddp_params_and_buffers_to_ignore"]
    if torch.distributed.is_initialized():
        for table in tables:
            torch.distributed.broadcast(table.weight.data, src=0)


def mean_over_processes(accelerator: Accelerator, tables: Sequence[nn.Embedding]) -> None:
    """Average the sparse gradients of ``tables`` over all processes.

    DDP would use a sparse all-reduce. NCCL has none, and gloo's corrupts the heap now and then: its threads write the
    last operation's name without a lock (torch 2.13), and this name is too long for a string without allocation. So
    rows and gradients are gathered and added here.
    """
    local = [_rows_of(table.weight) for table in tables]
    counts = accelerator.gather(torch.tensor([[len(rows) for rows, _ in local]], device=accelerator.device))
    for table, (rows, gradient), most in zip(tables, local, counts.amax(0).tolist(), strict=True):
        spare = most - len(rows)
        all_rows = accelerator.gather(F.pad(rows, (0, spare), value=-1))
        gradients = accelerator.gather(F.pad(gradient, (0, 0, 0, spare))) / accelerator.num_processes
        mask = all_rows >= 0
        table.weight.grad = torch.sparse_coo_tensor(
            all_rows[mask][None], gradients[mask], table.weight.shape, check_invariants=False
        )


def _rows_of(table: Tensor) -> tuple[Tensor, Tensor]:
    """``touched`` rows and gradients; empty if this process has not read the table."""
    if table.grad is None:
        return torch.empty(0, dtype=torch.int64, device=table.device), table.new_empty(0, table.shape[1])
    return touched(table)


class RowAdamW(torch.optim.AdamW):
    """AdamW with row-wise updates of parameters that have a sparse gradient.

    For a row with gradient g at step t, last touched at step s, ``v ← β₂^(t − s) v + (1 − β₂) mean(g²)`` and
    ``w ← w − lr g / (√(v / (1 − β₂ᵗ)) + ε)``; β₁ = 0, no weight decay. State: ``exp_avg_sq`` (v)
    and ``last_step`` (s), each ``[rows, 1]``, and ``step`` (t).
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    self._update_rows(table, group)
                    table.grad = None  # AdamW skips it
        return super().step(closure)

    def _update_rows(self, table: Tensor, group: dict[str, Any]) -> None:
        rows, gradient = touched(table)
        state, beta = self.state[table], group["betas"][1]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg_sq"], state["last_step"] = table.new_zeros(len(table), 1), table.new_zeros(len(table), 1)
        state["step"] += 1
        now = state["step"].item()
        squares = state["exp_avg_sq"][rows] * beta ** (now - state["last_step"][rows])
        squares += (1 - beta) * gradient.square().mean(dim=1, keepdim=True)
        state["exp_avg_sq"][rows], state["last_step"][rows] = squares, now
        size = (squares / (1 - beta**now)).sqrt_().add_(group["eps"])
        table.index_add_(0, rows, gradient / size, alpha=-group["lr"])


def touched(table: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows ``[n]`` of a table's sparse gradient, and their gradients ``[n, dim]``."""
    assert table.grad is not None
    table.grad = table.grad.coalesce()  # no copy if coalesced
    return table.grad.indices()[0], table.grad.values()


def check_gradients(model: nn.Module) -> None:
    """Check that the gradients of the token tables are sparse.

    Raises:
        InputError: A gradient is dense.
    """
    for table in token_tables(model):
        if table.weight.grad is not None and not table.weight.grad.is_sparse:
            raise InputError(
                "train.optimiser.sparse_adam needs a loss that reads single rows of the item table; this one reads all "
                "of it. Take a sampled loss, or leave sparse_adam out."
            )


def clip_norm(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Clip as ``torch.nn.utils.clip_grad_norm_``, which takes no sparse gradients."""
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None:
            gradients.append(touched(parameter)[1] if parameter.grad.is_sparse else parameter.grad)
    norm = torch.nn.utils.get_total_norm(gradients)
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp_(max=1.0))
