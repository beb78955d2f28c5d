"""Passes over encoded impressions without training: click probabilities, and what a frozen encoder says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.ctr.data import ClickData
from recsys_bert.ctr.history import EncodedItems
from recsys_bert.ctr.model import ClickModel
from recsys_bert.progress import Progress


def probabilities(model: ClickModel, data: ClickData, history_len: int, batch_size: int = 8192) -> NDArray[np.float64]:
    """Score impressions in their order, in float32.

    Args:
        model: The click model; put into evaluation mode for the time being.
        data: What to score.
        history_len: Newest events that are read.
        batch_size: Impressions at a time.

    Returns:
        Probability of a click, ``[n]``.
    """
    device = next(model.parameters()).device
    scores = np.empty(len(data), np.float64)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), Progress("scoring", len(data), "impressions") as progress:
        for first in range(0, len(data), batch_size):
            part = slice(first, min(first + batch_size, len(data)))
            batch = {name: torch.from_numpy(array).to(device) for name, array in data.batch(part, history_len).items()}
            scores[part] = torch.sigmoid(model(batch).double()).cpu().numpy()
            progress.advance(part.stop - part.start)
    model.train(was_training)
    return scores


def can_remember(model: ClickModel) -> bool:
    """Whether what the encoder says of a history stays the same, and is all that the head reads of it."""
    reads_positions = getattr(model.head, "needs_history", False)
    return isinstance(model.reader, EncodedItems) and model.reader.frozen and not reads_positions


def remember_histories(
    model: ClickModel, data: ClickData, history_len: int, path: Path, batch_size: int = 1024
) -> ClickData:
    """Ask a frozen encoder once about every history, so that no epoch asks again.

    Args:
        model: One that ``can_remember``.
        data: Impressions.
        history_len: Newest events that are read.
        path: File for the answers, which are mapped and not held in memory.
        batch_size: Impressions at a time.

    Returns:
        The same impressions with ``whole``.
    """
    reader = model.reader
    assert isinstance(reader, EncodedItems)
    reader.eval()
    device, width = reader.narrow.weight.device, reader.narrow.in_features
    whole = np.lib.format.open_memmap(path, "w+", np.float32, (len(data), width))
    with torch.inference_mode(), Progress("encoding histories", len(data), "impressions") as progress:
        for first in range(0, len(data), batch_size):
            part = slice(first, min(first + batch_size, len(data)))
            batch = data.batch(part, history_len)
            read = [torch.from_numpy(batch[name]).to(device).long() for name in ("history", "times") if name in batch]
            whole[part] = reader.encode(*read)[1].float().cpu().numpy()
            progress.advance(part.stop - part.start)
    return replace(data, whole=whole)
