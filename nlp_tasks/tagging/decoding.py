"""Viterbi decoding of tag scores into entities with probabilities."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlp_tasks.tagging.crf import CRF
from nlp_tasks.tagging.tag_set import TagSet


def decode_entities(
    crf: CRF, tags: TagSet, emissions: Tensor, mask: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Decode the best tag sequences.

    Args:
        crf: Scores sequences.
        tags: The tag vocabulary.
        emissions: ``[sentences, words, tags]``.
        mask: bool ``[sentences, words]``.

    Returns:
        Entities ``[k, 4]`` by sentence and position, and the marginal probability ``[k]`` of exactly each entity.
    """
    best = crf.best(emissions, mask)
    entities = tags.decode(best.cpu().numpy(), mask.cpu().numpy())
    rows = torch.from_numpy(entities).to(best.device)
    continuation = tags.continuation(rows[:, 3])
    log_p = crf.log_span_probability(emissions, best, mask, rows[:, :3], continuation)
    return entities, log_p.double().exp().clamp(max=1.0).cpu().numpy()
