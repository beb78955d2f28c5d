"""Moments as layers and embeddings see them: spans of time, in buckets that grow with the span."""

import torch
from torch import Tensor

N_BUCKETS = 62
"""Two for every doubling of a span, up to 2³¹ seconds (68 years); longer ones share the last."""

_FAR = 2**30 - 1
_LONGEST = 2**31 - 128  # the last float32 below 2**31


def span_buckets(seconds: Tensor) -> Tensor:
    """Bucket of each span, whichever way it goes: int32 of the same shape, in ``[0, N_BUCKETS)``.

    At most 1 s is bucket 0; from there on, [2ᵏ, 1.5 · 2ᵏ) s is bucket 2k and [1.5 · 2ᵏ, 2ᵏ⁺¹) s is 2k + 1.

    Args:
        seconds: int32 or int64; int32 may not hold -2³¹.
    """
    # That is what a float's exponent and the first bit behind its point say, so no logarithm is taken.
    bits = seconds.abs().clamp_(1, _LONGEST).float().view(torch.int32)
    return bits.bitwise_right_shift_(22).sub_(2 * 127)


def repeat_last(times: Tensor, lengths: Tensor) -> Tensor:
    """Give every row one more position at the moment of its newest: where the next item is asked for, that is now.

    Args:
        times: int64 ``[batch, seq]``, padded on the right.
        lengths: int64 ``[batch]`` real positions; rows without any get 0.

    Returns:
        int64 ``[batch, seq + 1]``.
    """
    longer = torch.cat([times, times.new_zeros(len(times), 1)], dim=1)
    newest = longer.gather(1, (lengths - 1).clamp(min=0)[:, None])
    return longer.scatter(1, lengths[:, None], newest)


def buckets_between(times: Tensor) -> Tensor:
    """Bucket of the span between any two moments of a row.

    Args:
        times: Unix seconds, int64 ``[batch, seq]``; the first one of a row must be real.

    Returns:
        int32 ``[batch, seq, seq]``. Moments more than 34 years from their row's first count as 34 years from it.
    """
    # Counted from the first, 32 bits are enough, which halves the work; what a difference is does not depend on it.
    since = (times - times[:, :1]).clamp_(-_FAR, _FAR).int()
    return span_buckets(since[:, :, None] - since[:, None, :])
