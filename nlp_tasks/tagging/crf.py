"""Linear-chain conditional random field (Lafferty et al. 2001, https://repository.upenn.edu/cis_papers/159).

Sequence score: start + Σ emissions + Σ transitions + end over unmasked positions; padding is on the right. Sums over
paths are products of matrices of exponentials, each step less its largest log; in float64 where the device has it,
paths may be 690 nats apart before the lesser one is lost.
"""

import torch
from torch import Tensor, nn

FORBIDDEN = -1e4
"""Score of invalid starts, transitions and ends: finite, so that gradients stay finite."""


class CRF(nn.Module):
    """Log-likelihood, Viterbi decoding and span marginals of tag sequences.

    Args:
        starts: bool ``[tags]``, True for tags that may come first.
        transitions: bool ``[tags, tags]``, True where the column's tag may follow the row's.
        ends: bool ``[tags]``, True for tags that may come last.
        learned: Learn a score for every start, transition and end; else valid ones score 0, and decoding goes by
            emissions alone.
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
            tags: Allowed sequences, int64 ``[batch, seq]``; ignored on padding.
            mask: bool ``[batch, seq]``; every sentence has a real position.

        Returns:
            ``[batch]``, in nats.
        """
        return self.score(emissions, tags, mask) - self.log_partition(emissions, mask)

    def score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Score of tag sequences, ``[batch]``; arguments as in ``log_likelihood``."""
        emissions, (start, transition, end) = _precise(emissions), self._scores()
        emitted = emissions.gather(2, tags[:, :, None]).squeeze(2)
        steps = transition[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        return start[tags[:, 0]] + (emitted * mask).sum(1) + (steps * mask[:, 1:]).sum(1) + end[last]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the sum over all tag sequences of ``exp(score)``, ``[batch]``."""
        return torch.logsumexp(self._forward(_precise(emissions), mask)[-1] + self._scores()[2], dim=1)

    def best(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Viterbi decoding: int64 ``[batch, seq]``, 0 on padding."""
        emissions, (start, transition, end) = _precise(emissions), self._scores()
        scores, back_pointers = start + emissions[:, 0], []
        for t in range(1, emissions.shape[1]):
            value, origin = (scores[:, None, :] + transition.T).max(dim=2)
            scores = torch.where(mask[:, t, None], value + emissions[:, t], scores)
            back_pointers.append(origin)
        tag = (scores + end).argmax(dim=1)
        path = [tag]
        for t in range(emissions.shape[1] - 1, 0, -1):  # padding keeps the last tag
            origin = back_pointers[t - 1].gather(1, tag[:, None]).squeeze(1)
            tag = torch.where(mask[:, t], origin, tag)
            path.append(tag)
        return torch.stack(path[::-1], dim=1).masked_fill(~mask, 0)

    def log_span_probability(
        self, emissions: Tensor, tags: Tensor, mask: Tensor, spans: Tensor, continuation: Tensor | None = None
    ) -> Tensor:
        """Log marginal probability of the tags of spans.

        Args:
            emissions: ``[batch, seq, tags]``.
            tags: ``[batch, seq]``.
            mask: ``[batch, seq]``.
            spans: ``[k, 3]``: sentence, first position, one past the last.
            continuation: ``[k]`` tag that must not follow, as it would extend the span; None allows any.

        Returns:
            ``[k]``.
        """
        emissions, transition = _precise(emissions), self._scores()[1]
        forward, backward = self._forward(emissions, mask), self._backward(emissions, mask)
        total = torch.logsumexp(forward[-1] + self._scores()[2], dim=1)
        steps = emissions.gather(2, tags[:, :, None]).squeeze(2)[:, 1:] + transition[tags[:, :-1], tags[:, 1:]]
        summed = torch.nn.functional.pad((steps * mask[:, 1:]).cumsum(1), (1, 0))
        sentence, first, stop = spans.long().unbind(1)
        last = stop - 1
        prefix = forward[first, sentence, tags[sentence, first]] - total[sentence]
        through = prefix + summed[sentence, last] - summed[sentence, first]
        log_p = through + backward[last, sentence, tags[sentence, last]]
        if continuation is None:
            return log_p
        after = stop.clamp(max=emissions.shape[1] - 1)
        longer = transition[tags[sentence, last], continuation] + emissions[sentence, after, continuation]
        longer = through + longer + backward[after, sentence, continuation]
        exists = (stop < emissions.shape[1]) & mask[sentence, after]
        share = torch.where(exists, (longer - log_p).exp(), 0.0).clamp(0.0, 1.0)
        return log_p + torch.log1p(-share).clamp_min(FORBIDDEN)

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start, transition and end scores, constraints included."""
        start, transition, end = (_precise(scores) for scores in (self.start, self.transition, self.end))
        return start + self.forbidden_start, transition + self.forbidden, end + self.forbidden_end

    def _forward(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Forward algorithm, log sums ``[seq, batch, tags]``; padding repeats the last one."""
        start, transition, _ = self._scores()
        weights, sums = transition.exp(), [start + emissions[:, 0]]
        for t in range(1, emissions.shape[1]):
            step = _log_product(sums[-1], weights) + emissions[:, t]
            sums.append(torch.where(mask[:, t, None], step, sums[-1]))
        return torch.stack(sums)

    def _backward(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Backward algorithm, log sums ``[seq, batch, tags]``."""
        _, transition, end = self._scores()
        weights, sums = transition.exp().T, [end.expand(len(emissions), -1)]
        for t in range(emissions.shape[1] - 1, 0, -1):
            step = _log_product(emissions[:, t] + sums[-1], weights)
            sums.append(torch.where(mask[:, t, None], step, sums[-1]))
        return torch.stack(sums[::-1])


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def _log_product(logs: Tensor, weights: Tensor) -> Tensor:
    """``log(exp(logs) @ weights)``, ``[batch, n]`` and ``[n, m]``; much faster than ``logsumexp`` of all pairs."""
    top = logs.amax(dim=1, keepdim=True).detach()
    with torch.autocast(logs.device.type, enabled=False):
        product = (logs - top).exp() @ weights
    return product.clamp_min(torch.finfo(product.dtype).tiny).log() + top
