"""Epoch after epoch, and on from where it was stopped."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.static_embeddings.glove import Glove
from recsys_bert.static_embeddings.word2vec import Word2Vec


def fit_vectors(
    model: Word2Vec | Glove, checkpoint: Path | None = None, after_epoch: Callable[[int, float], None] | None = None
) -> float:
    """Train for all epochs.

    Args:
        model: What is trained; its draws follow from its seed and the epoch alone, so a training that was stopped goes
            on to the same numbers.
        checkpoint: File that keeps the state after every epoch, and to go on from where it is there.
        after_epoch: Called with the number of epochs done and the mean loss of the last one, before the checkpoint of
            that epoch is written; again, where a training was stopped between the two.

    Returns:
        Seconds of all epochs, those before a stop included.

    Raises:
        InputError: The checkpoint is damaged.
    """
    done, seconds = (0, 0.0) if checkpoint is None or not checkpoint.exists() else _load(model, checkpoint)
    start = time.monotonic() - seconds
    for epoch in range(done, model.config.epochs):
        loss = model.epoch(epoch)
        if after_epoch is not None:
            after_epoch(epoch + 1, loss)
        seconds = time.monotonic() - start
        if checkpoint is not None:
            with replacing(checkpoint) as aside:
                save_file(model.state(), aside, metadata={"epochs": str(epoch + 1), "seconds": str(seconds)})
    return seconds


@torch.no_grad()
def _load(model: Word2Vec | Glove, checkpoint: Path) -> tuple[int, float]:
    """Take over a state; return the number of epochs done, and their seconds."""
    try:
        with safe_open(checkpoint, "pt") as file:
            for name, tensor in model.state().items():
                tensor.copy_(file.get_tensor(name))
            told = file.metadata()
            return int(told["epochs"]), float(told.get("seconds", 0))  # older checkpoints did not say
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{checkpoint} is damaged: {error}. Delete it and train again.") from error
