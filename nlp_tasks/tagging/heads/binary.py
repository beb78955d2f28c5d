"""A yes or no for every unit and type (Peng et al. 2019, https://aclanthology.org/P19-1231)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.tagging.crf import CRF
from recsys_bert.errors import InputError
from recsys_bert.positive_unlabelled.risk import PURisk


class Binary(nn.Module):
    """Is this unit within an entity of this type: one sigmoid each, and nothing about borders.

    An entity is a longest run of units of one type, by default of those whose likeliest type that is, and likelier than
    not; so two entities of one type that touch are found as one. It learns from sentences in which every entity is
    marked, unless ``risk`` is replaced by one for sentences in which some are.

    Args:
        dim: Width of a unit.
        n_types: Types of entities.
        loss: Of one decision, ``absolute`` as in the paper or ``logistic``.
        border: What a change of type from one unit to the next costs, in nats, as logits are; at least 0. At 0 units
            are decided one by one, as in the paper, and a doubtful one breaks an entity in two; above 0 the best
            sequence is found as a whole.

    Raises:
        InputError: ``border`` is negative or no number.
    """

    risk: nn.Module
    """``risk(logits [n, types], marked [n, types]) -> scalar``."""

    def __init__(self, dim: int, n_types: int, *, loss: str = "absolute", border: float = 0.0) -> None:
        super().__init__()
        if not 0 <= border < float("inf"):
            raise InputError(
                f"border of the binary head is {border}; what a change of type costs is a number of at least 0."
            )
        self.loss_name = loss
        self.decisions = nn.Linear(dim, n_types)
        nn.init.zeros_(self.decisions.bias)
        every = torch.ones(n_types + 1, dtype=torch.bool)  # no entity, then the types; any may follow any
        self.runs = CRF(every, every.expand(n_types + 1, -1), every, learned=False)
        self.runs.transition.fill_(-border).fill_diagonal_(0.0)
        self.risk = PURisk([0.5] * n_types, [0.5] * n_types, risk="biased", loss=loss)

    def forward(self, units: Tensor) -> Tensor:
        """Logits of yes, ``[batch, seq, dim] -> [batch, seq, types]``."""
        logits: Tensor = self.decisions(units)
        return logits

    def loss(self, outputs: Tensor, mask: Tensor, entities: Tensor) -> Tensor:
        """``risk`` of the units."""
        risk: Tensor = self.risk(outputs[mask], marked(entities, outputs)[mask])
        return risk

    def find(self, outputs: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Runs of one type; their score is the probability of all their decisions and of both borders'."""
        logits = outputs.float()
        # against "no" for all types, a "yes" for one changes the log probability of a unit's decisions by its logit
        chosen = self.runs.best(nn.functional.pad(logits, (1, 0)), mask).cpu().numpy() - 1
        begins = chosen != np.pad(chosen, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        ends = chosen != np.pad(chosen, ((0, 0), (0, 1)), constant_values=-1)[:, 1:]
        sentence, start = np.nonzero(begins & (chosen >= 0))
        _, last = np.nonzero(ends & (chosen >= 0))
        types = chosen[sentence, start]
        return np.stack([sentence, start, last + 1, types], axis=1), _scores(logits, mask, sentence, start, last, types)


def marked(entities: Tensor, outputs: Tensor) -> Tensor:
    """Which units are within which type's entities: bool, of the shape of ``outputs [sentences, units, types]``."""
    sentence, start, stop, kind = entities.long().unbind(1)
    batch, seq, n_types = outputs.shape
    borders = torch.zeros(batch, seq + 1, n_types, dtype=torch.int64, device=outputs.device)
    one = torch.ones_like(start)
    borders.index_put_((sentence, start, kind), one, accumulate=True)
    borders.index_put_((sentence, stop, kind), -one, accumulate=True)
    return borders.cumsum(dim=1)[:, :-1] > 0


def _scores(logits: Tensor, mask: Tensor, *places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability of a run's yeses and of no beside it; ``places``: sentence, first unit, last unit, type."""
    sentence, start, last, kind = places
    yes = torch.nn.functional.logsigmoid(logits).double().cpu().numpy().cumsum(axis=1)
    no = torch.where(mask[:, :, None], torch.nn.functional.logsigmoid(-logits), 0.0).double().cpu().numpy()
    yes, no = np.pad(yes, ((0, 0), (1, 0), (0, 0))), np.pad(no, ((0, 0), (1, 1), (0, 0)))  # place i is now i + 1
    within = yes[sentence, last + 1, kind] - yes[sentence, start, kind]
    scores: NDArray[np.float64] = np.exp(within + no[sentence, start, kind] + no[sentence, last + 2, kind])
    return scores
