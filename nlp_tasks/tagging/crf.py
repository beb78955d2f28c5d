"""Linear-chain conditional random field (Lafferty et al. 2001) with forbidden starts, transitions and ends.

Scores of a sentence: start + Σ emissions + Σ transitions + end, over its real positions alone; padding is on the right.
Sums over paths are products of matrices of exponentials, each step less its largest log; in float64 where the device
has it, paths may be 690 nats apart before the lesser one is lost.
"""

import torch
from torch import Tensor, nn

FORBIDDEN = -1e4
"""Score of what may not be: no path through it counts, and no gradient is lost to an infinity."""


class CRF(nn.Module):
    """Scores of tag sequences: their likelihood, the best one, and how likely a part of one is.

    Args:
        starts: bool ``[tags]``, True for tags that may come first.
        transitions: bool ``[tags, tags]``, True where the column's tag may follow the row's.
        ends: bool ``[tags]``, True for tags that may come last.
        learned: Learn a score for every start, transition and end; else what is allowed scores 0, and the best path is
            the best allowed one by emissions alone.
    """

    start: Tensor
    transition: Tensor
    end: Tensor
    forbidden_start: Tensor
    forbidden: Tensor
    forbidden_end: Tensor

    def __init__(self, starts: Tensor, transitions: Tensor, ends: Tensor, *, learned: bool = True) -> None:
        super().__init__()
        n = len(starts)
        for name, allowed in (("forbidden_start", starts), ("forbidden", transitions), ("forbidden_end", ends)):
            self.register_buffer(name, torch.where(allowed, 0.0, FORBIDDEN), persistent=False)
        for name, shape in (("start", (n,)), ("transition", (n, n)), ("end", (n,))):
            if learned:
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
            else:
                self.register_buffer(name, torch.zeros(shape), persistent=False)

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Log probability of tag sequences.

        Args:
            emissions: ``[batch, seq, tags]``.
            tags: Allowed sequences, int64 ``[batch, seq]``; anything in range on padding.
            mask: bool ``[batch, seq]``; every sentence has a real position.

        Returns:
            ``[batch]``, in nats.
        """
        return self.score(emissions, tags, mask) - self.log_partition(emissions, mask)

    def score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Score of tag sequences, ``[batch]``; arguments as in ``log_likelihood``."""
        emissions, (start, transition, end) = _precise(emissions), self._scores()
        own = emissions.gather(2, tags[:, :, None]).squeeze(2)
        steps = transition[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        return start[tags[:, 0]] + (own * mask).sum(1) + (steps * mask[:, 1:]).sum(1) + end[last]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the sum over all tag sequences of ``exp(score)``, ``[batch]``."""
        return torch.logsumexp(self._ahead(_precise(emissions), mask)[-1] + self._scores()[2], dim=1)

    def best(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Sequences with the highest score (Viterbi), int64 ``[batch, seq]``, 0 on padding."""
        emissions, (start, transition, end) = _precise(emissions), self._scores()
        so_far, came_from = start + emissions[:, 0], []
        for place in range(1, emissions.shape[1]):
            value, origin = (so_far[:, None, :] + transition.T).max(dim=2)
            so_far = torch.where(mask[:, place, None], value + emissions[:, place], so_far)
            came_from.append(origin)
        tag = (so_far + end).argmax(dim=1)
        path = [tag]
        for place in range(emissions.shape[1] - 1, 0, -1):  # on padding the last tag waits
            origin = came_from[place - 1].gather(1, tag[:, None]).squeeze(1)
            tag = torch.where(mask[:, place], origin, tag)
            path.append(tag)
        return torch.stack(path[::-1], dim=1).masked_fill(~mask, 0)

    def log_span_probability(
        self, emissions: Tensor, tags: Tensor, mask: Tensor, spans: Tensor, going_on: Tensor | None = None
    ) -> Tensor:
        """Log probability that a stretch of a sentence has its tags, whatever the others have.

        Args:
            emissions: ``[batch, seq, tags]``.
            tags: ``[batch, seq]``.
            mask: ``[batch, seq]``.
            spans: ``[k, 3]``: sentence, first place, one past the last.
            going_on: ``[k]`` tag that must not follow, as it would make the stretch longer; None leaves it open.

        Returns:
            ``[k]``.
        """
        emissions, transition = _precise(emissions), self._scores()[1]
        ahead, behind = self._ahead(emissions, mask), self._behind(emissions, mask)
        total = torch.logsumexp(ahead[-1] + self._scores()[2], dim=1)
        own = emissions.gather(2, tags[:, :, None]).squeeze(2)[:, 1:] + transition[tags[:, :-1], tags[:, 1:]]
        summed = torch.nn.functional.pad((own * mask[:, 1:]).cumsum(1), (1, 0))
        sentence, first, stop = spans.long().unbind(1)
        last = stop - 1
        begun = ahead[first, sentence, tags[sentence, first]] - total[sentence]
        passed = begun + summed[sentence, last] - summed[sentence, first]
        found = passed + behind[last, sentence, tags[sentence, last]]
        if going_on is None:
            return found
        after = stop.clamp(max=emissions.shape[1] - 1)
        longer = transition[tags[sentence, last], going_on] + emissions[sentence, after, going_on]
        longer = passed + longer + behind[after, sentence, going_on]
        is_there = (stop < emissions.shape[1]) & mask[sentence, after]
        share = torch.where(is_there, (longer - found).exp(), 0.0).clamp(0.0, 1.0)
        return found + torch.log1p(-share).clamp_min(FORBIDDEN)

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start, transition and end with what is forbidden."""
        start, transition, end = (_precise(scores) for scores in (self.start, self.transition, self.end))
        return start + self.forbidden_start, transition + self.forbidden, end + self.forbidden_end

    def _ahead(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log sum over all beginnings that end in each tag, ``[seq, batch, tags]``; padding repeats the last one."""
        start, transition, _ = self._scores()
        weights, sums = transition.exp(), [start + emissions[:, 0]]
        for place in range(1, emissions.shape[1]):
            step = _log_product(sums[-1], weights) + emissions[:, place]
            sums.append(torch.where(mask[:, place, None], step, sums[-1]))
        return torch.stack(sums)

    def _behind(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log sum over all that may follow each tag, ``[seq, batch, tags]``."""
        _, transition, end = self._scores()
        weights, sums = transition.exp().T, [end.expand(len(emissions), -1)]
        for place in range(emissions.shape[1] - 1, 0, -1):
            step = _log_product(emissions[:, place] + sums[-1], weights)
            sums.append(torch.where(mask[:, place, None], step, sums[-1]))
        return torch.stack(sums[::-1])


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def _log_product(logs: Tensor, weights: Tensor) -> Tensor:
    """``log(exp(logs) @ weights)``, ``[batch, n]`` and ``[n, m]``; much faster than ``logsumexp`` of all pairs."""
    top = logs.amax(dim=1, keepdim=True).detach()
    with torch.autocast(logs.device.type, enabled=False):
        product = (logs - top).exp() @ weights
    return product.clamp_min(torch.finfo(product.dtype).tiny).log() + top
