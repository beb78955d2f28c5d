"""Time differences in logarithmic buckets, for layers and embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor

N_BUCKETS = 62
"""Two per doubling of a difference, up to 2³¹ seconds (68 years); larger ones share the last."""

_FAR = 2**30 - 1
_LONGEST = 2**31 - 128  # the last float32 below 2**31


def time_buckets(seconds: Tensor) -> Tensor:
    """Bucket of the absolute time difference: int32 of the same shape, in ``[0, N_BUCKETS)``.

    At most 1 s is bucket 0; from there on, [2ᵏ, 1.5 · 2ᵏ) s is bucket 2k and [1.5 · 2ᵏ, 2ᵏ⁺¹) s is 2k + 1.

    Args:
        seconds: int32 (not -2³¹) or int64.
    """
    clamped = seconds.abs().clamp_(1, _LONGEST).float()
    if torch.onnx.is_in_onnx_export():  # ONNX cannot look at the bits of a number
        edges = torch.tensor([2.0**k * half for k in range(31) for half in (1, 1.5)][1:], device=seconds.device)
        return (clamped[..., None] >= edges).sum(-1).int()
    # A float's exponent and the first bit of its mantissa are just that, so no logarithm is computed.
    bits = clamped.view(torch.int32)
    return bits.bitwise_right_shift_(22).sub_(2 * 127)


def repeat_last(times: Tensor, lengths: Tensor) -> Tensor:
    """Append a position with the last timestamp of its row, for an appended mask.

    Args:
        times: int64 ``[batch, seq]``, padded on the right.
        lengths: Tokens per row, int64 ``[batch]``; empty rows get 0.

    Returns:
        int64 ``[batch, seq + 1]``.
    """
    longer = F.pad(times, (0, 1))
    last = longer.gather(1, (lengths - 1).clamp(min=0)[:, None])
    return longer.scatter(1, lengths[:, None], last)


def pairwise_time_buckets(times: Tensor) -> Tensor:
    """Bucket of the time difference between any two positions of a row.

    Args:
        times: Unix seconds, int64 ``[batch, seq]``; the first position of a row must be no padding.

    Returns:
        int32 ``[batch, seq, seq]``. Differences from the row's first timestamp are clamped to 34 years.
    """
    # Relative to the row's first timestamp 32 bits suffice, which halves the work.
    since = (times - times[:, :1]).clamp_(-_FAR, _FAR).int()
    return time_buckets(since[:, :, None] - since[:, None, :])
