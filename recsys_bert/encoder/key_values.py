"""Keys and values of earlier positions, one store a layer, so that a longer sequence costs its new positions alone."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class KeyValues:
    """Keys and values of one layer. Rows have no gaps: what follows a shorter row overwrites its padding."""

    capacity: int
    """Positions that fit."""

    key: Tensor | None = None
    """``[batch, n_heads, capacity, width]``; None before the first pass. ``value`` alike."""

    value: Tensor | None = None

    def extend(
        self, key: Tensor, value: Tensor, position: Tensor, first: int | None, n_keys: int
    ) -> tuple[Tensor, Tensor]:
        """Write keys and values ``[batch, n_heads, seq, width]``; return views of all up to ``n_keys``.

        Args:
            key: Keys of the new positions.
            value: Their values.
            position: int64 ``[batch, seq]``.
            first: First position where all rows have the same, else None.
            n_keys: Positions up to the last of the longest row.
        """
        if self.key is None or self.value is None:
            self.key, self.value = (
                part.new_zeros(*part.shape[:2], self.capacity, part.shape[3]) for part in (key, value)
            )
        for store, part in ((self.key, key), (self.value, value)):
            if first is not None:
                store[:, :, first : first + part.shape[2]] = part
            else:
                rows = torch.arange(len(position), device=position.device)[:, None]
                store[rows, :, position] = part.transpose(1, 2).to(store.dtype)
        return self.key[:, :, :n_keys], self.value[:, :, :n_keys]

    def select(self, rows: Tensor, n_keys: int) -> None:
        """Keep these rows, in this order; a row may come several times."""
        for name, store in (("key", self.key), ("value", self.value)):
            if store is None:
                continue
            part = store[:, :, :n_keys].index_select(0, rows)
            if len(rows) != len(store):
                store = store.new_zeros(len(rows), *store.shape[1:])
                setattr(self, name, store)
            store[:, :, :n_keys] = part


@dataclass(frozen=True)
class CachedPositions:
    """Positions of the queries of a cached pass, and the store of the layer that runs."""

    position: Tensor
    """int64 ``[batch, query]``."""

    first: int | None
    """First position where all rows have the same, else None."""

    n_keys: int
    """Keys: positions up to the last of the longest row."""

    store: KeyValues
    """Of the layer."""

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """See ``KeyValues.extend``."""
        return self.store.extend(key, value, self.position, self.first, self.n_keys)
