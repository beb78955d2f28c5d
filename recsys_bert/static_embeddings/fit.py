"""Training of static embeddings, with exact resume."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError

from recsys_bert.encoder.weights import load_tensors, save_tensors
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.static_embeddings.glove import Glove
from recsys_bert.static_embeddings.word2vec import Word2Vec


def fit_vectors(
    model: Word2Vec | Glove, checkpoint: Path | None = None, after_epoch: Callable[[int, float], None] | None = None
) -> float:
    """Train for all epochs.

    Args:
        model: Model to train; its random numbers depend on its seed and the epoch alone, so that resuming is exact.
        checkpoint: File of the state after every epoch; resumed from if it exists.
        after_epoch: Called with the number of finished epochs and the mean loss of the last one, before that epoch's
            checkpoint is written; once more if training was interrupted between the two.

    Returns:
        Seconds of all epochs, resumed ones included.

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
            with replacing(checkpoint) as temporary:
                save_tensors(temporary, model.state(), epochs=str(epoch + 1), seconds=str(seconds))
    return seconds


@torch.no_grad()
def _load(model: Word2Vec | Glove, checkpoint: Path) -> tuple[int, float]:
    """Restore a state; return the number of finished epochs and their seconds."""
    try:
        tensors, about = load_tensors(checkpoint)
        for name, tensor in model.state().items():
            tensor.copy_(tensors[name])
        return int(about["epochs"]), float(about["seconds"])
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{checkpoint} is damaged: {error}. Delete it and train again.") from error
