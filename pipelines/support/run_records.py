"""What a run folder tells about its training: curves from metrics.jsonl, and how its encoder mixes its layers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.retrieval.ranker import Ranker

_MOST_POINTS = 400  # of a curve; more are averaged, a page has no more pixels


def training_curve(run: Path, name: str) -> dict[str, Any] | None:
    """Loss and validation figure by step, from ``run/metrics.jsonl``; None where there is no such file.

    Returns:
        ``{"run", "measure", "loss": [[step, loss], …], "metric": [[step, figure], …]}``; ``measure`` is NDCG@10 where
        it was logged, else the first figure with an @ in its name, else None.

    Raises:
        InputError: A line is not JSON.
    """
    if not (run / "metrics.jsonl").is_file():
        return None
    lines = logged(run)
    measures = [key for line in lines for key in line if "@" in key]
    measure = "ndcg@10" if "ndcg@10" in measures else next(iter(measures), None)
    loss = [[line["step"], line["loss"]] for line in lines if "loss" in line]
    metric = [[line["step"], line[measure]] for line in lines if measure in line]
    return {"run": name, "measure": measure, "loss": _thinned(loss), "metric": _thinned(metric)}


def logged(run: Path) -> list[dict[str, Any]]:
    """The lines of ``run/metrics.jsonl``.

    Raises:
        InputError: There is no such file, or a line is not JSON.
    """
    path, lines = run / "metrics.jsonl", []
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Train the run again.") from error
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(json.loads(line))
        except ValueError as error:
            raise InputError(
                f"line {number} of {path} is not JSON; the file is damaged. Train the run again."
            ) from error
    return lines


def _thinned(points: list[list[float]]) -> list[list[float]]:
    width = -(-len(points) // _MOST_POINTS)
    blocks = [points[start : start + width] for start in range(0, len(points), width or 1)]
    return [[sum(column) / len(block) for column in zip(*block, strict=True)] for block in blocks]


def layer_weights(ranker: "Ranker", queries: "Queries", name: str) -> dict[str, Any] | None:
    """How much the encoder's fusion takes of every layer; None where it does not weigh them.

    The weights of ``token_mix`` and ``layer_attention`` depend on the history; their mean over the real positions of at
    most 256 users' histories is returned.

    Returns:
        ``{"run", "labels", "weights", "meaning"}``; label 0 is the embedding, which ``layer_attention`` leaves aside.
    """
    import torch

    encoder = _encoder(ranker)
    if encoder is None:
        return None
    fusion, n_layers, kind = encoder.fusion, encoder.config.n_layers, encoder.config.fusion
    found: list[Any] = []
    if kind == "scalar_mix":
        found, meaning = [fusion.weights()], "softmax weight"
    elif kind in ("token_mix", "layer_attention"):
        hook = encoder.register_forward_hook(lambda _, __, out: found.append(fusion.weights(out.states)[out.mask]))
        precision, ranker.precision = ranker.precision, "fp32"  # weights of a softmax are to add up to 1
        try:
            ranker.user_vectors(queries[:256])
        finally:
            hook.remove()
            ranker.precision = precision
        found, meaning = [torch.cat(found).mean(dim=0)], "mean weight over positions"
    if not found:
        return None
    weights = [float(weight) for weight in found[0].detach()]
    labels = [str(n) for n in range(n_layers + 1)][-len(weights) :]
    return {"run": name, "labels": labels, "weights": weights, "meaning": meaning}


def _encoder(ranker: "Ranker") -> Any:
    """The encoder inside a ranker, wherever it keeps its modules."""
    from torch import nn

    from recsys_bert.encoder.model import Encoder

    for value in vars(ranker).values():
        if isinstance(value, nn.Module):
            for module in value.modules():
                if isinstance(module, Encoder):
                    return module
    return None
