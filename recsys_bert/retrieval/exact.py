"""Exact full ranking by inner product, in chunks of users and of items."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_bert.errors import InputError

Seen = tuple[NDArray[np.int64], NDArray[np.int32]]
"""(query index, row) pairs, sorted by query index."""

Allowed = NDArray[np.bool_]
"""``[rows]``: True on catalogue rows that may be listed; False on special rows."""

_PAIRS = 1 << 17  # multiplied at a time
_USERS, _ITEMS = 512, 1 << 17  # scores in memory: 512 × 131,072 floats = 256 MiB at most


def exact_top_k(
    users: Tensor | NDArray[np.float32],
    items: Tensor | NDArray[np.float32],
    k: int,
    *,
    first_item: int = 0,
    seen: Seen | None = None,
    allowed: Allowed | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Best ``k`` rows of every user; between equal scores the lower row wins.

    Args:
        users: ``[n, dim]``.
        items: ``[rows, dim]``.
        k: Length of the lists.
        first_item: Rows below it are never returned.
        seen: Rows that are left out, by query.
        allowed: Rows that may be listed; None allows all. Only these are scored.

    Returns:
        Rows int32 ``[n, k]``, -1 where a user has fewer left, and scores float32 ``[n, k]``, -inf there.

    Raises:
        InputError: ``k`` is larger than the catalogue, or than what is allowed of it.
    """
    users, items = torch.as_tensor(users), torch.as_tensor(items)
    items = items[first_item:]
    candidates = None if allowed is None else np.flatnonzero(allowed[first_item : first_item + len(items)])
    n_items = len(items) if candidates is None else len(candidates)
    if not 1 <= k <= n_items:
        source = "the catalogue has" if candidates is None else "only and without leave"
        raise InputError(f"k is {k}; {source} {n_items} items. Choose k from 1 to {n_items}.")
    seen = None if seen is None else _positions((seen[0], seen[1] - first_item), candidates, len(items))
    among = None if candidates is None else torch.from_numpy(candidates).to(items.device)
    rows, scores = np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32)
    for start in range(0, len(users), _USERS):
        part = slice(start, start + _USERS)
        near = None
        if seen is not None:
            low, high = np.searchsorted(seen[0], [start, start + _USERS])
            near = (torch.from_numpy(seen[0][low:high] - start), torch.from_numpy(seen[1][low:high].astype(np.int64)))
        best, index = _best(users[part].to(items.device), items, k, among, near)
        part_rows = (index if among is None else among[index]) + first_item
        rows[part] = part_rows.masked_fill(best == -torch.inf, -1).cpu().numpy()
        scores[part] = best.cpu().numpy()
    return rows, scores


def _positions(seen: Seen, candidates: NDArray[np.int64] | None, n_items: int) -> Seen:
    """Seen pairs with positions among the candidates in place of items; pairs of other items drop out."""
    query, item = seen
    if candidates is None:
        inside = (item >= 0) & (item < n_items)
        return query[inside], item[inside]
    at = np.minimum(np.searchsorted(candidates, item), len(candidates) - 1)
    inside = candidates[at] == item
    return query[inside], at[inside].astype(np.int32)


def _best(
    users: Tensor, items: Tensor, k: int, candidates: Tensor | None, seen: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Best scores and positions of a few users over all chunks of items, or of the candidates among them."""
    best = users.new_full((len(users), 0), -torch.inf)
    index = torch.zeros(len(users), 0, dtype=torch.int64, device=users.device)
    n_items = len(items) if candidates is None else len(candidates)
    for start in range(0, n_items, _ITEMS):
        stop = min(start + _ITEMS, n_items)
        chunk = items[start:stop] if candidates is None else items[candidates[start:stop]]
        scores = users @ chunk.T
        if seen is not None:
            inside = (seen[1] >= start) & (seen[1] < stop)
            scores[seen[0][inside], seen[1][inside] - start] = -torch.inf
        top, position = _top(scores, min(k, stop - start))
        # earlier chunks stand first and the sort is stable, so that the lower row wins here as well
        best, order = torch.cat([best, top], 1).sort(dim=1, descending=True, stable=True)
        index = torch.cat([index, position + start], 1).gather(1, order)[:, :k]
        best = best[:, :k]
    return best, index


def _top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Top k along dim 1 with ties broken towards the lower index, which ``topk`` alone does not promise."""
    width = scores.shape[1]
    top, index = scores.topk(min(k + 1, width), dim=1)
    cut = top[:, k - 1] == top[:, -1] if width > k else torch.zeros_like(top[:, 0], dtype=torch.bool)
    cut &= top[:, k - 1] > -torch.inf  # a tie at the border: which of the equals got in is up to topk
    if cut.any():
        full, columns = scores[cut].sort(dim=1, descending=True, stable=True)
        top[cut], index[cut] = full[:, : top.shape[1]], columns[:, : top.shape[1]]
    top, index = top[:, :k], index[:, :k]
    by_row = index.argsort(dim=1)
    top, index = top.gather(1, by_row), index.gather(1, by_row)
    top, order = top.sort(dim=1, descending=True, stable=True)
    return top, index.gather(1, order)


def pair_products(
    users: NDArray[np.float32], items: NDArray[np.float32], query: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Inner products of (query, row) pairs, ``[pairs]``.

    Args:
        users: ``[n, dim]``.
        items: ``[rows, dim]``.
        query: Index of the user, ``[pairs]``.
        row: Item row, ``[pairs]``.
    """
    products = np.empty(len(query), np.float32)
    for start in range(0, len(query), _PAIRS):
        part = slice(start, start + _PAIRS)
        products[part] = np.einsum("nd,nd->n", users[query[part]], items[row[part]])
    return products
