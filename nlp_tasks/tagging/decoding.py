"""From scores of tags to entities."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlp_tasks.tagging.crf import CRF
from nlp_tasks.tagging.tags import TagSet


def tagged(crf: CRF, tags: TagSet, emissions: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Entities of the best tag sequences.

    Args:
        crf: Says which sequence is best.
        tags: What the tags mean.
        emissions: ``[sentences, units, tags]``.
        mask: bool ``[sentences, units]``.

    Returns:
        Entities ``[k, 4]`` by sentence and place, and the probability ``[k]`` that exactly this entity is there.
    """
    best = crf.best(emissions, mask)
    found = tags.decode(best.cpu().numpy(), mask.cpu().numpy())
    entities = torch.from_numpy(found).to(best.device)
    going_on = tags.going_on(entities[:, 3])
    log_p = crf.log_span_probability(emissions, best, mask, entities[:, :3], going_on)
    return found, log_p.double().exp().clamp(max=1.0).cpu().numpy()
