"""Encoded impressions with the history before each, and batches of them."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.histories import Histories, Ints
from recsys_bert.clicks.vocabulary import UNKNOWN, as_ids
from recsys_bert.ctr.config import ColumnsConfig, CTRConfig
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.impressions import Impressions
from recsys_bert.ctr.items import ItemVocabulary, list_histories, n_cold
from recsys_bert.ctr.layout import DENSE, Layout
from recsys_bert.ctr.side import DenseColumn, dense_columns, side_ids
from recsys_bert.ctr.values import as_text
from recsys_bert.ctr.views import ViewVectors
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class CTRData:
    """One split, ready for the model.

    Args:
        ids: int32 ``[n, columns]``, rows of the flat table.
        numbers: float32 ``[n, n_numbers]``.
        labels: float32 ``[n]``, or ``[n, n_tasks]`` with NaN where one is missing; or None.
        groups: User of each impression as a number, for GAUC, -1 where there is none; or None.
        targets: Row of each target item, int32 ``[n]``; None without a prepared log or a history column.
        start: First event of each user's history, ``[n]``; with ``targets``.
        stop: First event that is not strictly before the impression, ``[n]``.
        histories: Events of all users.
        counts: Cells unseen or missing, users and items without history, by ``field: reason``.
        pooled: Cached history vectors of a frozen encoder, float32 ``[n, width]``; or None.
        timed: Add the timestamps of histories to batches.
        typed: Add the event types of histories to batches.
        dense: Numbers of each dense field by its name.
        views: Add the inputs of a linear part over them to batches; or None.
    """

    ids: NDArray[np.int32]
    numbers: NDArray[np.float32]
    labels: NDArray[np.float32] | None
    groups: NDArray[np.int64] | None
    targets: NDArray[np.int32] | None
    start: Ints | None
    stop: Ints | None
    histories: Histories | None
    counts: dict[str, int]
    pooled: NDArray[np.float32] | None = None
    timed: bool = False
    typed: bool = False
    dense: Mapping[str, DenseColumn] = field(default_factory=dict)
    views: ViewVectors | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def of_task(self, task: int) -> "CTRData":
        """Impressions that have a label of one task, with that label alone."""
        if self.labels is None or self.labels.ndim == 1:
            return self
        labels = self.labels[:, task]
        known = ~np.isnan(labels)
        names = ("ids", "numbers", "groups", "targets", "start", "stop", "pooled")
        parts: dict[str, Any] = {name: None if (part := getattr(self, name)) is None else part[known] for name in names}
        dense = {name: replace(column, rows=column.rows[known]) for name, column in self.dense.items()}
        return replace(self, labels=labels[known], dense=dense, **parts)

    def batch(self, rows: Any, history_len: int) -> dict[str, NDArray[Any]]:
        """Gather impressions.

        Args:
            rows: Index array or slice.
            history_len: Last events that are read.

        Returns:
            ``ids [batch, columns]``, ``numbers [batch, n_numbers]``, ``dense.NAME [batch, width]`` of each dense field;
            where there are histories ``history [batch, seq]``, padded with 0 on the right, and ``target [batch]``, if
            ``timed`` ``times [batch, seq]``, and if ``typed`` ``event_types [batch, seq]``; with labels ``label
            [batch]`` or ``[batch, n_tasks]``.
            With ``pooled``, ``pooled [batch, width]`` replaces the history, of which only the last event is left.
        """
        batch: dict[str, NDArray[Any]] = {"ids": self.ids[rows], "numbers": self.numbers[rows]}
        batch |= {f"{DENSE}{name}": column.of(rows) for name, column in self.dense.items()}
        if self.histories is not None and self.targets is not None and self.start is not None and self.stop is not None:
            length = history_len if self.pooled is None else 1
            start, stop = self.start[rows], self.stop[rows]
            batch["history"], _ = self.histories.gather(start, stop, length)
            if self.timed and self.pooled is None:
                batch["times"] = self.histories.gather_times(start, stop, length)
            if self.typed and self.pooled is None:
                batch["event_types"] = self.histories.gather_event_types(start, stop, length)
            batch["target"] = self.targets[rows]
            if self.views is not None:
                views = (
                    batch["history"] if length == history_len else self.histories.gather(start, stop, history_len)[0]
                )
                batch["views"] = self.views.inputs(views, batch["target"])
        if self.pooled is not None:
            batch["pooled"] = self.pooled[rows]
        if self.labels is not None:
            batch["label"] = self.labels[rows]
        return batch


def fit_features(frame: pl.DataFrame, config: CTRConfig, dataset: ClickDataset | None) -> Features:
    """Fit features on training impressions, and number the items of a history column where no log has them.

    Raises:
        InputError: A column cannot be read.
    """
    features, columns = Features.fit(frame, config.features, config.id_columns), config.columns
    if dataset is not None or columns.history is None or columns.item is None:
        return features
    separator = config.features.separator_of(columns.history)
    items = ItemVocabulary.fit(frame[columns.item], frame[columns.history], separator, config.features.min_count)
    return replace(features, items=items)


def encode(
    impressions: Impressions,
    config: CTRConfig,
    features: Features,
    layout: Layout,
    dataset: ClickDataset | None,
    history: Histories | None = None,
) -> CTRData:
    """Turn impressions into arrays and look up each one's history.

    Args:
        impressions: Impressions of one split.
        config: Resolved settings.
        features: Fitted on training impressions.
        layout: See ``full_layout``.
        dataset: The prepared log, or None for impressions alone.
        history: Events of one user, in place of the log's for all impressions; None: those of the log.

    Raises:
        InputError: The history cannot be joined or read.
    """
    columns, history_len = config.columns, config.model.history_len or 0
    encoded = features.encode(impressions.frame)
    groups = None
    if columns.user is not None:
        missing = as_text(impressions.frame[columns.user]).is_null()
        groups = impressions.frame[columns.user].rank("dense").cast(pl.Int64).set(missing, -1).to_numpy()
    counts = encoded.counts | _missing_labels(impressions, columns)
    data = CTRData(encoded.ids, encoded.numbers, impressions.labels, groups, None, None, None, None, counts)
    if dataset is not None:
        data = _join_log(data, impressions, config, layout, len(features.layout.fields), dataset, history)
    if columns.history is not None and history_len:
        return _add_lists(data, impressions.frame, config, features.items or dataset)
    return data


def _join_log(
    data: CTRData,
    impressions: Impressions,
    config: CTRConfig,
    layout: Layout,
    first: int,
    dataset: ClickDataset,
    history: Histories | None,
) -> CTRData:
    """Add target rows, side features, whose fields begin at ``first``, and the log's events before each impression."""
    columns = config.columns
    if columns.user is None or columns.item is None:
        raise InputError("joining a prepared log needs columns.user and columns.item.")
    users = user_rows(dataset, impressions.frame[columns.user])
    targets = dataset.rows(impressions.frame[columns.item])
    _warn_of_nothing(dataset, columns, users >= 0, targets >= dataset.vocabulary.first_item)
    ids = np.concatenate([data.ids, *side_ids(dataset, layout, first, users, targets)], axis=1)
    data = replace(
        data,
        ids=ids,
        targets=targets,
        dense=dense_columns(dataset, layout, users, targets),
        counts=data.counts | {"impressions of items without training event": n_cold(targets, dataset)},
    )
    if not config.model.history_len or columns.history is not None:
        return data
    if history is not None:
        known = np.where(history.items < dataset.n_rows, history.items, UNKNOWN).astype(history.items.dtype)
        one_user = np.zeros(len(data), np.int64)
        return _add_events(data, dataset, replace(history, items=known), one_user, impressions.times)
    return _add_events(data, dataset, dataset.histories, users, impressions.times)


def _warn_of_nothing(dataset: ClickDataset, columns: ColumnsConfig, *known: NDArray[np.bool_]) -> None:
    """Say on the terminal that no user, or no item, of the impressions is in the prepared log."""
    for kind, name, rows in zip(("user", "item"), (columns.user, columns.item), known, strict=True):
        if len(rows) and not rows.any():
            print(
                f"WARNING: no {kind} of the impressions (column {name!r}) is in {dataset.folder}. Same ids?",
                file=sys.stderr,
            )


def _add_events(data: CTRData, dataset: ClickDataset, histories: Histories, users: Ints, times: Ints | None) -> CTRData:
    """Add the events before each impression."""
    if times is None:
        raise InputError("joining histories needs columns.time, the name of the column.")
    if not dataset.has_times:
        raise InputError(
            f"{dataset.folder} has no times, so events before an impression cannot be selected. Prepare it with a "
            "time column."
        )
    start, stop = events_before(histories, users, times)
    counts = data.counts | {"impressions without history": int((stop == start).sum())}
    return replace(data, start=start, stop=stop, histories=histories, counts=counts)


def _add_lists(
    data: CTRData, frame: pl.DataFrame, config: CTRConfig, items: ItemVocabulary | ClickDataset | None
) -> CTRData:
    """Add the items of the history column, and target rows where no log gave them."""
    assert items is not None
    name, target = str(config.columns.history), str(config.columns.item)
    separator, max_len = config.features.separator_of(name), config.model.history_len or 0
    histories = list_histories(frame[name], separator, items, max_len)
    start, stop = histories.offsets[:-1], histories.offsets[1:]
    counts = data.counts | {
        f"{name}: items without training event": n_cold(histories.items, items),
        "impressions without history": int((start == stop).sum()),
    }
    targets = data.targets
    if targets is None:
        targets = items.rows(frame[target])
        counts["impressions of items without training event"] = n_cold(targets, items)
    return replace(data, targets=targets, start=start, stop=stop, histories=histories, counts=counts)


def _missing_labels(impressions: Impressions, columns: ColumnsConfig) -> dict[str, int]:
    """Impressions without a label, by task; zeros left out."""
    if impressions.labels is None or not columns.labels:
        return {}
    missing = np.isnan(impressions.labels)
    counts = dict(zip((f"{task}: no label" for task in columns.labels), missing.sum(0).tolist(), strict=True))
    counts["no label at all"] = int(missing.all(1).sum())
    return {reason: count for reason, count in counts.items() if count}


def user_rows(dataset: ClickDataset, ids: pl.Series) -> Ints:
    """Row of each user; -1 for users that the prepared log does not have."""
    frame = as_ids(ids, dataset.user_ids.dtype, "user").rename("user_id").to_frame()
    joined = frame.join(dataset.users.select("user_id", "user_row"), on="user_id", how="left", maintain_order="left")
    return joined["user_row"].cast(pl.Int64).fill_null(-1).to_numpy()


def events_before(histories: Histories, users: Ints, times: Ints) -> tuple[Ints, Ints]:
    """Select each user's events strictly before a timestamp, by one vectorised binary search.

    Args:
        histories: Events, oldest first.
        users: Row of each user, -1 for an unknown one; ``[n]``.
        times: Unix seconds, ``[n]``.

    Returns:
        ``start, stop``: the events are ``items[start:stop]``; equal where there are none.
    """
    known = users >= 0
    start = histories.offsets[np.where(known, users, 0)]
    low, high = start.copy(), np.where(known, histories.offsets[np.where(known, users, 0) + 1], start)
    while (rows := np.flatnonzero(low < high)).size:
        middle = (low[rows] + high[rows]) // 2
        earlier = histories.times[middle] < times[rows]
        low[rows] = np.where(earlier, middle + 1, low[rows])
        high[rows] = np.where(earlier, high[rows], middle)
    return start, low


@dataclass(frozen=True)
class CTRBatches:
    """Training batches: every impression once an epoch, in an order that (seed, epoch) fix.

    Batches differ in size by at most one, so that none is too small for batch norm.
    """

    data: CTRData
    batch_size: int
    history_len: int
    seed: int = 0

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-len(self.data) // self.batch_size)

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """Yield this process's share of the epoch's batches from ``first_step`` on."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data))
        for rows in np.array_split(order, self.steps)[first_step:]:
            local = rows[rank::world]
            # a process left over in a small batch takes part in the step, but counts for nothing
            batch = self.data.batch(local if len(local) else rows[:1], self.history_len)
            yield batch | {"n_targets": len(local)}
