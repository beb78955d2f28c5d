"""Click probabilities of encoded impressions."""

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.ctr.data import ClickData
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
