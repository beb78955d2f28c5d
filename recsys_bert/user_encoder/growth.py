"""Grow a trained model to a log with more items and feature values: old rows keep their weights.

A new item starts at the mean of the rows of items that stand near it in training histories, weighted by positive
pointwise mutual information: in the space of the trained table, where factorised PPMI would be in one of its own. One
without such neighbours starts at the mean of the items that share a feature value, or of all items. Its length is that
of its neighbours on average. A new value of a feature starts at the mean of the feature's values.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.static_embeddings.glove import co_occurrences
from recsys_bert.static_embeddings.ppmi import ppmi
from recsys_bert.user_encoder.item_init import ItemInit, item_sequences, resolve_item_init

WINDOW = 5
"""Neighbours of a new item on either side; one at distance d counts 1 / d."""

Floats = NDArray[np.float32]


@torch.no_grad()
def copy_grown(module: nn.Module, weights: Mapping[str, Tensor], without: tuple[str, ...] = ()) -> None:
    """Copy the weights of a smaller model of the same parts; tables may have more rows, whose first ones they become.

    Further rows of a table of feature values start at the mean of its values; those of the item table stay as they are.

    Args:
        module: The grown model.
        weights: State of the smaller one.
        without: Beginnings of the names of tensors that stay as they are.

    Raises:
        InputError: A part differs in another way.
    """
    state = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(without)}
    if missing := sorted(state.keys() - weights.keys()):
        raise InputError(f"the run has no weights of {missing[0]}.")
    for name, old in weights.items():
        if name.startswith(without):
            continue
        new = state.get(name)
        if new is None or new.shape[1:] != old.shape[1:] or (old.ndim and new.shape[0] < old.shape[0]):
            raise InputError(f"{name} of the run does not fit: {list(old.shape)}, needed {_shape(new)}.")
        if new.shape == old.shape:
            new.copy_(old)
        elif new.ndim == 2 and _is_table(name):
            new[: len(old)] = old
            if not name.endswith("embeddings.token.weight"):
                new[len(old) :] = old[FIRST_VALUE:].mean(0) if len(old) > FIRST_VALUE else 0
        else:
            raise InputError(f"{name} of the run does not fit: {list(old.shape)}, needed {_shape(new)}.")


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else str(list(tensor.shape))


def _is_table(name: str) -> bool:
    return name.endswith("embeddings.token.weight") or ".features." in f".{name}" or ".tables." in f".{name}"


def resolve_new_items(init: ItemInit, dataset: ClickDataset, n_known: int) -> ItemInit:
    """Settle ``item_init`` of a run that starts from one with ``n_known`` item rows, for the items beyond them.

    Raises:
        InputError: It is named, and there are none; or it is of whole tables only.
    """
    if dataset.vocabulary.size > n_known:
        if init not in ("auto", "random", "ppmi"):
            raise InputError(f"item_init is {init!r}, which starts whole tables; with init, items take ppmi or random.")
        return resolve_item_init(init, dataset)
    if init != "auto":
        raise InputError(f"item_init is {init!r}, but init knows all items of {dataset.folder}. Leave it out.")
    return init


@torch.no_grad()
def init_new_items(encoder: Encoder, n_known: int, dataset: ClickDataset, init: ItemInit) -> None:
    """Initialise the rows of the item table from ``n_known`` on.

    Args:
        encoder: Has the trained rows before them.
        n_known: Rows of the earlier vocabulary.
        dataset: The log, with all items.
        init: ``random`` leaves the rows of a new encoder.
    """
    table = encoder.embeddings.token.weight
    if init == "random" or n_known == len(table):
        return
    new = new_rows(table[:n_known].float().cpu().numpy(), dataset)
    table[n_known:] = torch.from_numpy(new).to(table)


def new_rows(known: Floats, dataset: ClickDataset) -> Floats:
    """Starting vectors ``[size - n_known, dim]`` of the items from ``n_known`` on; see the module.

    Args:
        known: Trained rows ``[n_known, dim]``.
        dataset: The log, with all items.
    """
    first = dataset.vocabulary.first_item
    items = known[first:].astype(np.float64)
    trained = np.concatenate([items, np.linalg.norm(items, axis=1, keepdims=True)], axis=1)  # vectors and their lengths
    mean = trained.mean(0) if len(trained) else np.zeros(trained.shape[1])
    start = np.tile(mean, (dataset.vocabulary.size - len(known), 1))
    for weights, values in (_by_features(dataset, trained), _by_neighbours(dataset, trained)):
        has_any = weights > 0
        start[has_any] = values[has_any] / weights[has_any, None]
    vectors, lengths = start[:, :-1], start[:, -1]
    scale = lengths / np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    return (vectors * scale[:, None]).astype(np.float32)


Weighted = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Summed weights ``[new]``, and weighted sums ``[new, dim]``."""


def _by_neighbours(dataset: ClickDataset, trained: NDArray[np.float64]) -> Weighted:
    """Trained items near each new one, weighted by positive PMI."""
    first, size = dataset.vocabulary.first_item, dataset.vocabulary.size
    n_known = first + len(trained)
    counts = co_occurrences(item_sequences(dataset, TrainingEvents.of(dataset.histories)), WINDOW)
    if not counts.nnz:
        return np.zeros(size - n_known), np.zeros((size - n_known, trained.shape[1]))
    near = sparse.csr_array(ppmi(counts)[n_known:, first:n_known])
    return np.asarray(near.sum(axis=1)).ravel(), near @ trained


def _by_features(dataset: ClickDataset, trained: NDArray[np.float64]) -> Weighted:
    """Mean of the trained items of each value that a new one has; rarer values weigh more."""
    first, size = dataset.vocabulary.first_item, dataset.vocabulary.size
    n_known = len(trained)
    weights, sums = np.zeros(size - first - n_known), np.zeros((size - first - n_known, trained.shape[1]))
    for name, codes in dataset.item_features.items():
        table = np.asarray(codes[first:size])
        row, column = np.nonzero(table >= FIRST_VALUE)
        shape = (len(table), dataset.item_feature_sizes[name])
        has = sparse.csr_array((np.ones(len(row)), (row, table[row, column])), shape)
        counts = np.asarray(has[:n_known].sum(axis=0)).ravel()
        rarity = np.where(counts > 0, np.log1p(n_known / np.maximum(counts, 1)), 0)
        means = has[:n_known].T @ trained / np.maximum(counts, 1)[:, None]
        weights += has[n_known:] @ rarity
        sums += has[n_known:] @ (means * rarity[:, None])
    return weights, sums
