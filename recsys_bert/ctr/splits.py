"""Training, validation and test impressions: as given, or cut by time."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.frames import Frame
from recsys_bert.clicks.prepare.times import PER_SECOND, parse_timestamp
from recsys_bert.ctr.config import CTRConfig
from recsys_bert.ctr.impressions import Impressions, read_impressions
from recsys_bert.ctr.multi_task import MULTI_TASK
from recsys_bert.ctr.split_config import TimeSplitConfig
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError

Source = Frame | Path | str


def read_splits(
    sources: Mapping[str, Source],
    config: CTRConfig,
    split: TimeSplitConfig,
    dataset: ClickDataset | None,
) -> dict[str, Impressions]:
    """Read training, validation and, where there is one, test impressions.

    Args:
        sources: ``train`` alone, which is then cut by time; or ``train``, ``validation`` and perhaps ``test``.
        config: Columns, files and features.
        split: Where to cut; with a prepared log that was cut by time, by default where that was.
        dataset: The prepared log.

    Raises:
        InputError: As ``read_impressions``; a split is empty or of one class; or the log's training events end after
            validation starts.
    """
    parts = {
        name: read_impressions(source, config.columns, config.features.columns, files=config.files)
        for name, source in sources.items()
    }
    manifest = {} if dataset is None else dataset.manifest.split
    borders = (manifest["validation_from"], manifest["test_from"]) if "test_from" in manifest else None
    if "validation" not in parts:
        parts = cut_by_time(parts["train"], split, borders)
    if dataset is not None and (times := parts["validation"].times) is not None:
        _check_training_end(dataset, None if borders is None else borders[0], int(times.min()))
    for name, part in parts.items():
        _check_labels(name, part, config)
    return parts


def draw_training(impressions: Impressions, config: CTRConfig, fraction: float, seed: int) -> Impressions:
    """Draw a share of the training impressions without replacement, in their order.

    Args:
        impressions: All of them.
        config: Columns and model.
        fraction: The share, in (0, 1]; 1 takes them as they are.
        seed: Of the draw.

    Raises:
        InputError: Those that are drawn are of one class.
    """
    if fraction == 1:
        return impressions
    n = max(round(fraction * len(impressions)), 1)
    mask = np.zeros(len(impressions), np.bool_)
    mask[np.random.default_rng(seed).permutation(len(impressions))[:n]] = True
    print(f"training on {n:,} of {len(impressions):,} impressions (train_fraction {fraction})", file=sys.stderr)
    sample = impressions.where(mask)
    _check_labels("train", sample, config)
    return sample


def cut_by_time(
    impressions: Impressions, split: TimeSplitConfig, borders: tuple[int, int] | None = None
) -> dict[str, Impressions]:
    """Cut impressions into training, validation and test.

    Args:
        impressions: With times.
        split: Where to cut.
        borders: Unix seconds at which validation and test of the prepared log start, the default; if it was cut by
            time.

    Raises:
        InputError: A split is empty.
    """
    times = impressions.times
    if times is None:
        raise InputError("cutting impressions by time needs columns.time, the name of the column.")
    first = _border(split.validation_from, times, 0.8, None if borders is None else borders[0])
    second = _border(split.test_from, times, 0.9, None if borders is None else borders[1])
    masks = {"train": times < first, "validation": (times >= first) & (times < second), "test": times >= second}
    for name, mask in masks.items():
        if not mask.any():
            raise InputError(
                f"no impression falls into {name}: validation starts at {first}, test at {second} (unix seconds), and "
                f"impressions lie between {times.min()} and {times.max()}. Change split.validation_from or "
                "split.test_from."
            )
    return {name: impressions.where(mask) for name, mask in masks.items()}


def _border(value: float | str | None, times: NDArray[np.int64], quantile: float, default: int | None) -> int:
    if value is None and default is not None:
        return default
    if isinstance(value, str):
        return parse_timestamp(value) // PER_SECOND
    rank = int((quantile if value is None else value) * len(times))  # as `prepare` cuts the click log
    return int(np.partition(times, rank)[rank])


def _check_labels(name: str, part: Impressions, config: CTRConfig) -> None:
    """Refuse a split with a single class, in which nothing can be learned or evaluated, and labels out of a chain."""
    if part.labels is None:
        return
    tasks = config.columns.tasks
    labels = part.labels.reshape(len(part), len(tasks))
    for task, column in zip(tasks, labels.T, strict=True):
        known = column[~np.isnan(column)]
        if not len(known) or (known == known[0]).all():
            kind = "without a label" if not len(known) else "clicks" if known[0] else "non-clicks"
            raise InputError(
                f"all {len(known) or len(part):,} impressions of {name} are {kind} by {task!r}; both classes are "
                f"needed. Set columns.label{'s' if config.columns.labels else ''}, or cut elsewhere."
            )
    if len(tasks) > 1 and getattr(find("multi-task part", config.model.multi_task, MULTI_TASK), "chained", False):
        _check_chain(name, labels, config)


def _check_chain(name: str, labels: NDArray[np.float32], config: CTRConfig) -> None:
    """Refuse impressions with a label of 1 whose predecessor is 0."""
    tasks = config.columns.tasks
    for number, broken in enumerate(((labels[:, 1:] == 1) & (labels[:, :-1] == 0)).sum(0).tolist()):
        if broken:
            raise InputError(
                f"{broken:,} of {len(labels):,} impressions of {name} have {tasks[number + 1]!r} without "
                f"{tasks[number]!r}; in model.multi_task {config.model.multi_task!r} each label presupposes the one "
                "before it. Order columns.labels so, or choose another."
            )


def _check_training_end(dataset: ClickDataset, training_end: int | None, validation_start: int) -> None:
    """Refuse, or warn of, a prepared log whose training events reach beyond the start of validation."""
    if training_end is None:
        print(
            f"{dataset.folder} was not cut by time: its vocabulary, and an encoder trained on it, may know events from "
            "after an impression. Histories do not. Prepare with --split.kind time for metrics without that leak.",
            file=sys.stderr,
        )
    elif training_end > validation_start:
        raise InputError(
            f"the training part of {dataset.folder} ends at {training_end} (unix seconds), but validation impressions "
            f"start at {validation_start}: vocabulary and encoder would know their future. Prepare with an earlier "
            "--split.validation-from."
        )
