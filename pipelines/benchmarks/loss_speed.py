"""Full cross-entropy: ours against PyTorch's ``F.linear_cross_entropy``, forward and backward, in alternating rounds.

    python -m pipelines.benchmarks.loss_speed --items 3416 --dim 64

Prints one line for each: median milliseconds, and how far its gradients are from float32's (relative, by norm).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from recsys_bert.losses.item_softmax import full_cross_entropy


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=20_000, help="predicted positions of a batch")
    parser.add_argument("--items", type=int, default=3416)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    torch.manual_seed(0)
    queries = F.normalize(torch.randn(args.positions, args.dim), dim=1) / 0.06
    table, targets = F.normalize(torch.randn(args.items, args.dim), dim=1), torch.randint(args.items, (args.positions,))
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=args.chunk)

    def theirs(queries: Tensor, table: Tensor) -> Tensor:
        return F.linear_cross_entropy(queries, table, targets, options=options)

    def ours(queries: Tensor, table: Tensor) -> Tensor:
        return full_cross_entropy(queries, table, targets, chunk=args.chunk)

    def ours_mixed(queries: Tensor, table: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return ours(queries, table)

    losses: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], torch.dtype]] = {
        "linear_cross_entropy, float32": (theirs, torch.float32),
        "linear_cross_entropy, bf16": (theirs, torch.bfloat16),
        "ours, float32": (ours, torch.float32),
        "ours, bf16": (ours_mixed, torch.float32),
    }
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    gradients: dict[str, tuple[Tensor, ...]] = {}
    for _ in range(args.rounds):
        for name, (loss, dtype) in losses.items():
            leaves = queries.clone().requires_grad_(), table.clone().requires_grad_()
            start = time.perf_counter()
            gradients[name] = torch.autograd.grad(loss(*(leaf.to(dtype) for leaf in leaves)), leaves)
            seconds[name].append(time.perf_counter() - start)
    exact = gradients["linear_cross_entropy, float32"]
    for name in losses:
        pairs = zip(gradients[name], exact, strict=True)
        by_queries, by_table = (
            float((gradient - reference).norm() / reference.norm()) for gradient, reference in pairs
        )
        milliseconds = 1000 * statistics.median(seconds[name])
        print(f"{name:32} {milliseconds:7.1f} ms   gradients off by {by_queries:.4f} (queries), {by_table:.4f} (table)")


if __name__ == "__main__":
    main()
