"""Binary decision per word and type (Peng et al. 2019, https://aclanthology.org/P19-1231)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.tagging.crf import CRF
from recsys_bert.errors import InputError
from recsys_bert.positive_unlabelled.risk import PURisk


class Binary(nn.Module):
    """One sigmoid per word and type: is the word within such an entity; borders are not modelled.

    An entity is a maximal span of words whose most probable type it is, with a probability above 0.5; adjacent entities
    of one type are merged. It learns from fully annotated sentences, unless ``risk`` is replaced by one for partial
    annotation.

    Args:
        dim: Width of a word.
        n_types: Types of entities.
        loss: Of one decision, ``absolute`` as in the paper or ``logistic``.
        border: Cost of a change of type between neighbouring words, in nats as logits are; at least 0. At 0 words are
            decided one by one, as in the paper, and a doubtful one splits an entity; above 0 by Viterbi decoding.

    Raises:
        InputError: ``border`` is negative or no number.
    """

    positive_unlabelled = True

    risk: nn.Module
    """``risk(logits [n, types], labelled [n, types]) -> scalar``."""

    def __init__(self, dim: int, n_types: int, *, loss: str = "absolute", border: float = 0.0) -> None:
        super().__init__()
        if not 0 <= border < float("inf"):
            raise InputError(f"head.options: border of the binary head is {border}; it must be a number of at least 0.")
        self.loss_name = loss
        self.decisions = nn.Linear(dim, n_types)
        nn.init.zeros_(self.decisions.bias)
        every = torch.ones(n_types + 1, dtype=torch.bool)  # no entity, then the types; any may follow any
        self.transitions = CRF(every, every.expand(n_types + 1, -1), every, learned=False)
        self.transitions.transition.fill_(-border).fill_diagonal_(0.0)
        self.risk = PURisk([0.5] * n_types, [0.5] * n_types, risk="biased", loss=loss)

    def forward(self, words: Tensor) -> Tensor:
        """Logits, ``[batch, seq, dim] -> [batch, seq, types]``."""
        logits: Tensor = self.decisions(words)
        return logits

    def loss(self, outputs: Tensor, mask: Tensor, entities: Tensor) -> Tensor:
        """``risk`` of the words."""
        risk: Tensor = self.risk(outputs[mask], words_within(entities, outputs)[mask])
        return risk

    def decode(self, outputs: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Maximal spans of one type; their score is the probability of all their decisions and of both borders'."""
        logits = outputs.float()
        # against "no" for all types, a "yes" for one changes the log probability of a word's decisions by its logit
        best = self.transitions.best(nn.functional.pad(logits, (1, 0)), mask).cpu().numpy() - 1
        begins = best != np.pad(best, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        ends = best != np.pad(best, ((0, 0), (0, 1)), constant_values=-1)[:, 1:]
        sentence, start = np.nonzero(begins & (best >= 0))
        _, last = np.nonzero(ends & (best >= 0))
        types = best[sentence, start]
        return np.stack([sentence, start, last + 1, types], axis=1), _scores(logits, mask, sentence, start, last, types)


def words_within(entities: Tensor, outputs: Tensor) -> Tensor:
    """True for words within an entity, by type: bool of the shape of ``outputs [sentences, words, types]``."""
    sentence, start, stop, kind = entities.long().unbind(1)
    batch, seq, n_types = outputs.shape
    borders = torch.zeros(batch, seq + 1, n_types, dtype=torch.int64, device=outputs.device)
    one = torch.ones_like(start)
    borders.index_put_((sentence, start, kind), one, accumulate=True)
    borders.index_put_((sentence, stop, kind), -one, accumulate=True)
    return borders.cumsum(dim=1)[:, :-1] > 0


def _scores(logits: Tensor, mask: Tensor, *spans: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability of "yes" within spans and of "no" beside them; ``spans``: sentence, first word, last word, type."""
    sentence, start, last, kind = spans
    yes = torch.nn.functional.logsigmoid(logits).double().cpu().numpy().cumsum(axis=1)
    no = torch.where(mask[:, :, None], torch.nn.functional.logsigmoid(-logits), 0.0).double().cpu().numpy()
    yes, no = np.pad(yes, ((0, 0), (1, 0), (0, 0))), np.pad(no, ((0, 0), (1, 1), (0, 0)))  # position i is now i + 1
    within = yes[sentence, last + 1, kind] - yes[sentence, start, kind]
    scores: NDArray[np.float64] = np.exp(within + no[sentence, start, kind] + no[sentence, last + 2, kind])
    return scores
