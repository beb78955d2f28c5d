"""Records of a training: curves from metrics.jsonl, layer weights of its encoder's fusion, final metrics."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from recsys_bert.clicks.queries import Queries
from recsys_bert.encoder.model import Encoder
from recsys_bert.files import read_json
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.training.metrics_file import read_metrics

_MOST_POINTS = 400  # of a curve; more are averaged, a page has no more pixels


def training_curve(run: Path, name: str) -> dict[str, Any] | None:
    """Loss and validation metric by step, from ``run/metrics.jsonl``; None where there is no such file.

    Returns:
        ``{"run", "metric_name", "loss": [[step, loss], …], "metric": [[step, value], …]}``; ``metric_name`` is NDCG@10
        where it was logged, else the first metric with an @ in its name, else None.

    Raises:
        InputError: It is damaged.
    """
    if not (run / "metrics.jsonl").is_file():
        return None
    lines = read_metrics(run / "metrics.jsonl")
    names = [key for line in lines for key in line if "@" in key]
    metric = "ndcg@10" if "ndcg@10" in names else next(iter(names), None)
    # a line at an epoch's end averages fewer steps than the others and would jump
    losses = [(line["step"], line["loss"], line.get("steps", 1)) for line in lines if "loss" in line]
    values = [(line["step"], line[metric], 1) for line in lines if metric in line]
    return {"run": name, "metric_name": metric, "loss": _thinned(losses), "metric": _thinned(values)}


def _thinned(points: list[tuple[float, float, int]]) -> list[list[float]]:
    """Average neighbouring points ``(step, value, steps)``, each weighted by its steps.

    Each block covers at least as many steps as the longest line, so that a line over fewer steps is never a point of
    its own, and there are at most ``_MOST_POINTS`` blocks.
    """
    size = max(max((steps for *_, steps in points), default=1), -(-sum(steps for *_, steps in points) // _MOST_POINTS))
    blocks: list[list[tuple[float, float, int]]] = []
    covered = size
    for point in points:
        if covered >= size:
            blocks.append([])
            covered = 0
        blocks[-1].append(point)
        covered += point[2]
    if covered < size and len(blocks) > 1:
        blocks[-2] += blocks.pop()
    return [_mean(block) for block in blocks]


def _mean(block: list[tuple[float, float, int]]) -> list[float]:
    steps = sum(point[2] for point in block)
    return [sum(point[at] * point[2] for point in block) / steps for at in (0, 1)]


def layer_weights(ranker: Ranker, queries: Queries, name: str) -> dict[str, Any] | None:
    """Weight of every layer in the encoder's fusion; None where it does not weigh them.

    A fusion that weighs layers has a method ``weights(states)``: ``[n]``, or ``[batch, seq, n]`` where the weights
    depend on the history; their mean over the tokens of at most 256 users' histories is returned.

    Returns:
        ``{"run", "labels", "weights", "meaning"}``; label 0 is the embedding, which some fusions leave out.
    """
    encoder = _encoder(ranker)
    if encoder is None or not hasattr(encoder.fusion, "weights"):
        return None
    fusion: Any = encoder.fusion
    batches: list[torch.Tensor] = []

    def collect(_: nn.Module, __: Any, out: Any) -> None:
        weights = fusion.weights(out.states)
        batches.append(weights if weights.ndim == 1 else weights[out.mask].detach())

    hook = encoder.register_forward_hook(collect)
    precision, ranker.precision = ranker.precision, "fp32"  # weights of a softmax are to add up to 1
    try:
        ranker.user_vectors(queries[:256])
    finally:
        hook.remove()
        ranker.precision = precision
    is_fixed = batches[0].ndim == 1
    weights = batches[0] if is_fixed else torch.cat(batches).mean(dim=0)
    labels = [str(n) for n in range(encoder.config.n_layers + 1)][-len(weights) :]
    meaning = "softmax weight" if is_fixed else "mean weight over positions"
    return {"run": name, "labels": labels, "weights": weights.detach().tolist(), "meaning": meaning}


def _encoder(ranker: Ranker) -> Encoder | None:
    """The encoder inside a ranker, wherever it keeps its modules."""
    modules = (value for value in vars(ranker).values() if isinstance(value, nn.Module))
    return next((part for module in modules for part in module.modules() if isinstance(part, Encoder)), None)


def final_metrics(run: Path) -> dict[str, Any] | None:
    """Metrics that a training of another task wrote at its end: a CTR model's, a text model's; None without any.

    Returns:
        ``{"run", "split", "metrics"}`` with the numbers of the test, or of the validation where there was no test.

    Raises:
        InputError: ``metrics.json`` is not JSON.
    """
    path = run / "metrics.json"
    if not path.is_file():
        return None
    values = read_json(path, sealed=True)
    for split in ("test", "validation"):
        metrics = values.get(split) if isinstance(values, dict) else None
        numbers = {key: value for key, value in (metrics or {}).items() if isinstance(value, int | float)}
        if numbers:
            return {"run": run.name, "split": split, "metrics": numbers}
    return None


def split_other_runs(models: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Separate run folders of other tasks, which rank nothing, from the models that rank.

    Returns:
        The models that rank, and ``final_metrics`` of the others.
    """
    others = {
        name: metrics
        for name, model in models.items()
        if isinstance(model, str | Path) and (metrics := final_metrics(Path(model)))
    }
    rankers = {name: model for name, model in models.items() if name not in others}
    return rankers, [metrics | {"run": name} for name, metrics in others.items()]
