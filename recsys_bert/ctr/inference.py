"""Passes over encoded impressions without training: probabilities, metrics, and cached history vectors."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.ctr.config import MEANS
from recsys_bert.ctr.data import CTRData
from recsys_bert.ctr.history import EncodedItems
from recsys_bert.ctr.model import CTRModule
from recsys_bert.evaluation.classification import classification_metrics
from recsys_bert.progress import Progress


def probabilities(module: CTRModule, data: CTRData, history_len: int, batch_size: int = 8192) -> NDArray[np.float64]:
    """Click probabilities in the order of the impressions, computed in float32.

    Args:
        module: In evaluation mode during the pass.
        data: Impressions to score.
        history_len: Last events that are read.
        batch_size: Impressions at a time.

    Returns:
        ``[n]``, or ``[n, n_tasks]`` of several tasks.
    """
    device = next(module.parameters()).device
    scores = np.empty((len(data), module.n_tasks) if module.n_tasks > 1 else len(data), np.float64)
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        for part in _slices("scoring", len(data), batch_size):
            batch = {name: torch.from_numpy(array).to(device) for name, array in data.batch(part, history_len).items()}
            scores[part] = torch.sigmoid(module(batch).double()).cpu().numpy()
    module.train(was_training)
    return scores


def evaluate(
    module: CTRModule, data: CTRData, history_len: int, tasks: Sequence[str] = ("label",), batch_size: int = 8192
) -> dict[str, float]:
    """AUC, log loss, calibration error and, where users are known, GAUC; of impressions with labels.

    Args:
        module: In evaluation mode during the pass.
        data: Impressions with labels.
        history_len: Last events that are read.
        tasks: Names of the labels.
        batch_size: Impressions at a time.

    Returns:
        See ``label_metrics``.
    """
    return label_metrics(data, probabilities(module, data, history_len, batch_size), tasks)


def label_metrics(data: CTRData, scores: NDArray[np.float64], tasks: Sequence[str]) -> dict[str, float]:
    """Metrics of probabilities; of several tasks each over the impressions that have its label.

    Args:
        data: Impressions with labels.
        scores: Probabilities ``[n]`` or ``[n, n_tasks]``.
        tasks: Names of the labels.

    Returns:
        See ``classification_metrics``. Of several tasks those of each, as ``buy.auc``; and the means over tasks of what
        all of them have, as ``auc``.
    """
    labels, groups = data.labels, data.groups
    if labels is None:
        raise ValueError("metrics need impressions with labels")
    if labels.ndim == 1:
        return classification_metrics(labels, scores.reshape(-1), groups)
    by_task = []
    for label, score in zip(labels.T, scores.T, strict=True):
        known = ~np.isnan(label)
        by_task.append(classification_metrics(label[known], score[known], None if groups is None else groups[known]))
    means = {
        name: float(np.mean([metrics[name] for metrics in by_task]))
        for name in MEANS
        if all(name in metrics for metrics in by_task)
    }
    return means | {
        f"{task}.{name}": value for task, metrics in zip(tasks, by_task, strict=True) for name, value in metrics.items()
    }


def can_cache(module: CTRModule) -> bool:
    """True if the encoder is frozen and the head reads no single position, only the history vector."""
    reads_positions = getattr(module.head, "needs_history", False)
    return isinstance(module.reader, EncodedItems) and module.reader.frozen and not reads_positions


def cache_histories(module: CTRModule, data: CTRData, history_len: int, path: Path, batch_size: int = 1024) -> CTRData:
    """Encode every history once with the frozen encoder, so that no epoch does again.

    Args:
        module: One that ``can_cache``.
        data: Impressions.
        history_len: Last events that are read.
        path: File for the vectors, which are memory-mapped.
        batch_size: Impressions at a time.

    Returns:
        The same impressions with ``pooled``.
    """
    reader = module.reader
    assert isinstance(reader, EncodedItems)
    reader.eval()
    device, width = reader.projection.weight.device, reader.projection.in_features
    pooled = np.lib.format.open_memmap(path, "w+", np.float32, (len(data), width))
    if hasattr(os, "posix_fallocate"):  # a disk without room is an error now, not a bus error at some vector
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    with torch.inference_mode():
        for part in _slices("encoding histories", len(data), batch_size):
            batch = data.batch(part, history_len)
            names = [name for name in ("history", "times", "event_types") if name in batch]
            rows = {name: torch.from_numpy(batch[name]).to(device).long() for name in names}
            pooled[part] = reader.encode(**rows)[1].float().cpu().numpy()
    return replace(data, pooled=pooled)


def _slices(label: str, n: int, batch_size: int) -> Iterator[slice]:
    """Slices that cover ``n`` impressions, with progress."""
    with Progress(label, n, "impressions") as progress:
        for first in range(0, n, batch_size):
            part = slice(first, min(first + batch_size, n))
            yield part
            progress.advance(part.stop - part.start)
