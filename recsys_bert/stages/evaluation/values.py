"""Metrics of every user and of every item, as frames."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.evaluation.evaluator import Values
from recsys_bert.evaluation.ranking import ranks
from recsys_bert.files import replacing
from recsys_bert.stages.evaluation.held_out import HeldOut


@dataclass
class ValueFrames:
    """Collects the values of all models on one kind of target.

    Args:
        held_out: Users and targets.
    """

    held_out: HeldOut
    _users: list[pl.DataFrame] = field(default_factory=list)
    _items: list[pl.DataFrame] = field(default_factory=list)

    def add(self, model: str, ranked: NDArray[np.integer], values: Values) -> None:
        """Take the lists and values of one model."""
        queries, evaluator = self.held_out.queries, self.held_out.evaluator
        users, first = np.unique(queries.users, return_index=True)
        if evaluator.owners is None:
            users, first = queries.users, np.arange(len(queries))
        n_targets = np.bincount(evaluator.targets[0], minlength=len(queries))
        owners = np.arange(len(queries)) if evaluator.owners is None else evaluator.owners
        columns = {
            "model": np.full(len(users), model),
            "user_id": self.held_out.dataset.user_ids.gather(users),
            "events_before": np.asarray(evaluator.history_lengths)[first],
            "targets": np.bincount(owners, weights=n_targets, minlength=len(users)).astype(np.int64),
        }
        frame = pl.DataFrame({**columns, **values})
        self._users.append(frame.with_columns(pl.selectors.float().fill_nan(None)))
        self._items.append(self._of_items(model, ranked))

    def _of_items(self, model: str, ranked: NDArray[np.integer]) -> pl.DataFrame:
        """Targets, hits and recommendations at the headline k of every item that has any."""
        evaluator, n_rows = self.held_out.evaluator, self.held_out.dataset.n_rows
        k, first_item = evaluator.headline_k, evaluator.first_item
        query, row = evaluator.targets
        hit = ranks(ranked[:, :k], (query, row), first_item) < min(k, ranked.shape[1])
        listed = ranked[:, :k]
        counts = {
            "targets": np.bincount(row, minlength=n_rows),
            f"hits@{k}": np.bincount(row[hit], minlength=n_rows),
            f"recommended@{k}": np.bincount(listed[listed >= 0], minlength=n_rows),
        }
        rows = np.flatnonzero((counts["targets"] + counts[f"recommended@{k}"] > 0) & (np.arange(n_rows) >= first_item))
        frame = pl.DataFrame(
            {
                "model": np.full(len(rows), model),
                "item_id": self.held_out.dataset.ids(rows),
                "training_events": np.asarray(evaluator.counts)[rows],
                **{name: values[rows] for name, values in counts.items()},
            }
        )
        share = pl.when(pl.col("targets") > 0).then(pl.col(f"hits@{k}") / pl.col("targets"))
        return frame.with_columns(share.alias(f"recall@{k}"))

    @property
    def users(self) -> pl.DataFrame:
        """``model``, ``user_id``, ``events_before``, ``targets`` and every metric; null where a user has no value."""
        return pl.concat(self._users, how="diagonal") if self._users else pl.DataFrame()

    @property
    def items(self) -> pl.DataFrame:
        """``model``, ``item_id``, ``training_events``, ``targets``, ``hits@k``, ``recommended@k``, ``recall@k``."""
        return pl.concat(self._items) if self._items else pl.DataFrame()

    def save(self, folder: Path) -> None:
        """Write ``users.parquet`` and ``items.parquet``.

        Raises:
            InputError: ``folder`` cannot be written.
        """
        for name, frame in (("users", self.users), ("items", self.items)):
            with replacing(folder / f"{name}.parquet") as temporary:
                frame.write_parquet(temporary)
