"""A stable order by several integer keys, several times faster than ``np.lexsort``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def stable_order(keys: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Positions that sort by the last key, then by the one before it, and at last by position; as ``np.lexsort``.

    Each key's value is packed above its position into one integer; NumPy sorts integers with vector instructions, and
    the position makes the order stable. Wide keys take several rounds, lowest bits first; keys that are in
    order already (the times of most logs) take none.

    Args:
        keys: Integers, ``[n]`` each; the most important one last.
    """
    n = len(keys[0])
    positions = np.arange(n, dtype=np.uint64)
    low = n.bit_length()
    room = 64 - low
    order = positions.view(np.int64)
    for key in keys:
        signed = key.astype(np.int64)[order]
        if (signed[1:] >= signed[:-1]).all():
            continue
        values = (signed - signed.min()).view(np.uint64)  # right even where the difference has 64 bits
        for shift in range(0, int(values.max()).bit_length(), room):
            packed = (values >> shift & (1 << room) - 1) << low | positions
            packed.sort()
            index = (packed & (1 << low) - 1).view(np.int64)
            order, values = order[index], values[index]
    return order
