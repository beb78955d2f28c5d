"""Targets of training by their events: types that are targets, and weights of their losses."""

from collections.abc import Sequence

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.negatives import Popularity


def check_targets(dataset: ClickDataset, target_types: Sequence[str], event_weights: bool, loss: LossConfig) -> None:
    """Refuse settings of targets that do not suit a log.

    Raises:
        InputError: No such event type, none of its events is for training, or weights that the log or its batches have
            not.
    """
    if len(set(target_types)) < len(target_types):
        raise InputError(f"target_types are {', '.join(target_types)}: name each once.")
    if not dataset.manifest.weights_differ:
        advice = "all events of the prepared log weigh the same: it has no effect. Leave it out, or see log.events"
        if not event_weights:
            raise InputError(f"event_weights is off, but {advice}.")
        if loss.negatives.by_weight:
            raise InputError(f"loss.negatives.by_weight is on, but {advice}.")
    if loss.negatives.by_weight and loss.negatives.in_batch and not event_weights:
        raise InputError(
            "loss.negatives.by_weight draws loss.negatives.in_batch by the weights of targets, which event_weights off "
            "leaves out. Turn one of them around, or set in_batch to 0."
        )
    if target_types and not TrainingEvents.of(dataset.histories).of_types(dataset.event_type_codes(target_types)).any():
        raise InputError(f"no training event of {dataset.folder} is of type {' or '.join(target_types)}.")


def target_popularity(dataset: ClickDataset, target_types: Sequence[str], by_weight: bool) -> Popularity:
    """Popularity of every row as a target, ``[vocab_size]``: training events of the target types, or their weight."""
    vocabulary = dataset.vocabulary
    if not target_types:
        return vocabulary.weights if by_weight else vocabulary.counts
    events = TrainingEvents.of(dataset.histories)
    targeted = events.of_types(dataset.event_type_codes(target_types))
    weights = events.weights[targeted] if by_weight else None
    counts = np.bincount(events.items[targeted], weights, minlength=vocabulary.size)[: vocabulary.size]
    counts[: vocabulary.first_item] = 0
    return counts


def describe_targets(dataset: ClickDataset, target_types: Sequence[str], event_weights: bool) -> dict[str, str]:
    """Target types and weights of a training, for its summary; empty where every event counts the same."""
    about = {"target types": ", ".join(target_types)} if target_types else {}
    weights = dataset.manifest.weights
    if event_weights and dataset.manifest.weights_differ:
        by_type = [f"{name} {entry['mean']:g}" for name, entry in weights["by_type"].items()]
        spread = f"{weights['smallest']:g} to {weights['largest']:g}, mean {weights['mean']:.3g}"
        about["event weights of the loss"] = ", ".join(by_type) or spread
    return about
