"""A trained CTR model with everything it takes to score impressions."""

import html
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.frames import Frame
from recsys_bert.clicks.histories import Histories
from recsys_bert.ctr.artefact import read_artefact, write_artefact
from recsys_bert.ctr.config import CTRConfig, FilesConfig
from recsys_bert.ctr.data import CTRData, encode
from recsys_bert.ctr.describe import describe_counts, describe_model
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.history import EncodedItems
from recsys_bert.ctr.impressions import Impressions, read_impressions
from recsys_bert.ctr.inference import evaluate, probabilities
from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.ranking import rank
from recsys_bert.ctr.side import full_layout
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config

Files = FilesConfig | Mapping[str, Any] | None


class CTRModel:
    """Scores impressions with a click probability.

    Args:
        module: Weights.
        features: Fitted on training impressions.
        config: Resolved settings.
        dataset: The prepared log that histories and side features come from; None where the model reads none.
        metrics: Metrics of the training run; empty where unknown.
    """

    def __init__(
        self,
        module: CTRModule,
        features: Features,
        config: CTRConfig,
        dataset: ClickDataset | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        self.module, self.features, self.dataset, self.metrics = module, features, dataset, metrics or {}
        unknown = [("times", module.reads_times), ("event types", module.reads_event_types)]
        if config.columns.history is not None and (missing := [name for name, is_read in unknown if is_read]):
            raise InputError(
                f"model.encoder reads the {' and '.join(missing)} of histories, which columns.history "
                f"({config.columns.history!r}) has not. Take histories from the prepared log's events, or another "
                "encoder."
            )
        self.config = CTRConfig(**{field.name: getattr(config, field.name) for field in fields(CTRConfig)})

    @staticmethod
    def load(run: Path | str, dataset: ClickDataset | None = None, *, allow_parts: bool = False) -> "CTRModel":
        """Load a run of ``train_ctr``, or what ``save`` wrote.

        Args:
            run: The folder.
            dataset: The prepared log; by default opened where it was at training. Its vocabulary must be the same, or
                have grown from it since.
            allow_parts: Import parts from outside (``module:Class``) that the saved settings name; their code runs.

        Raises:
            InputError: No trained model, a damaged one, or another prepared log.
        """
        model = load_model(Path(run), dataset, allow_parts=allow_parts)
        if model.dataset is not None and model.dataset.n_new_items:
            print(
                f"{run} was trained before {model.dataset.n_new_items:,} items of {model.dataset.folder} came: as "
                "targets and in histories they are read as unknown, with their features where the model reads those. "
                f"Go on training with --init {run}.",
                file=sys.stderr,
            )
        return model

    def save(self, folder: Path | str) -> None:
        """Write ``folder/ctr``, all or nothing: settings, features, weights, encoder."""
        write_artefact(Path(folder), self.config, self.features, self.module, self.dataset)

    def predict(
        self,
        impressions: Frame | Path | str,
        batch_size: int = 8192,
        *,
        files: Files = None,
        quiet: bool = False,
    ) -> pl.DataFrame:
        """Score impressions; values that training did not see, and missing ones, are counted on the terminal.

        Args:
            impressions: Table of any library, or a file, with the columns of the training impressions; no label.
            batch_size: Impressions at a time.
            files: Reading of a file, as a dict or config object; None: as the training file was read.
            quiet: Print no counts, as a service wants it; ``unknown_values`` gives them.

        Returns:
            One row an impression, in order: user, item and time where they are there, the columns that the model reads,
            and ``probability``; of several tasks one column each, as ``buy_probability``. A column that has such a
            name already becomes ``probability_read``.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        rows = self.read(impressions, files=files)
        data = self.encode(rows)
        if any(data.counts.values()) and not quiet:
            print(f"{len(data):,} impressions{describe_counts(data.counts)}", file=sys.stderr)
        return self.predict_encoded(rows, data, batch_size)

    def probabilities(
        self, impressions: Frame | Path | str, batch_size: int = 8192, *, files: Files = None
    ) -> NDArray[np.float64]:
        """Click probabilities alone.

        Args:
            impressions: As for ``predict``.
            batch_size: Impressions at a time.
            files: Reading of a file.

        Returns:
            ``[n]``, in the order of the impressions; ``[n, n_tasks]`` of several tasks.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        return probabilities(
            self.module, self.encode(self.read(impressions, files=files)), self.history_len, batch_size
        )

    def unknown_values(self, impressions: Frame | Path | str, *, files: Files = None) -> dict[str, int]:
        """Count values that training did not see or that are missing, by ``field: reason``; zeros left out.

        Args:
            impressions: As for ``predict``.
            files: Reading of a file.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        counts = self.encode(self.read(impressions, files=files)).counts
        return {reason: count for reason, count in counts.items() if count}

    def evaluate(
        self, impressions: Frame | Path | str, batch_size: int = 8192, *, files: Files = None
    ) -> dict[str, float]:
        """AUC, log loss, calibration error and, where users are known, GAUC; of several tasks of each.

        Args:
            impressions: As for ``predict``, with labels.
            batch_size: Impressions at a time.
            files: Reading of a file.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        data = self.encode(self.read(impressions, labelled=True, files=files))
        return evaluate(self.module, data, self.history_len, self.tasks, batch_size)

    def rank(
        self,
        users: Any,
        candidates: Any,
        *,
        k: int | None = None,
        by: str | None = None,
        batch_size: int = 8192,
        quiet: bool = False,
        history: Histories | None = None,
    ) -> pl.DataFrame:
        """Rank candidates of each user, such as those that a recommender retrieved.

        Args:
            users: Ids, or a table with one row a user: the id and what else the model reads of an impression (the
                device …); None takes the users of ``candidates``.
            candidates: Item ids for all users, or a table with items, and with users if each has candidates of its own,
                as ``recommend`` gives it; other columns may be features. Columns have their names of training, or
                ``user_id`` and ``item_id``.
            k: Items for each user; None: all.
            by: With several tasks, the label that ranks.
            batch_size: Impressions at a time.
            quiet: Print no counts of users without candidates and of unknown values.
            history: Events of one user, by catalogue row and oldest first, in place of the log's, for all candidates:
                for services, where events come in. Without effect on models that read no events of the log.

        Returns:
            User, ``rank`` from 1, item, and the probabilities as ``predict`` gives them; users in order. Histories are
            those up to the time of the row where the table has times, else up to the end of the log.

        Raises:
            InputError: A column is missing or cannot be read, a user comes twice, nobody has a candidate, or ``by`` is
                no task.
        """
        return rank(self, users, candidates, k, by, batch_size, quiet, history)

    def read(
        self,
        impressions: Frame | Path | str,
        labelled: bool = False,
        *,
        files: Files = None,
        at_end: bool = False,
    ) -> Impressions:
        """Read the columns that the model needs, ids and times where they are there, and labels where wanted.

        Args:
            impressions: As for ``predict``.
            labelled: Read labels.
            files: Reading of a file, as a dict or config object; None: as the training file was read.
            at_end: Read no times: impressions come after the log's last event.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        columns, needed = self.config.columns, self.config.needed_columns(self.dataset is not None, labelled)
        at_end = at_end and needed.time is not None
        if isinstance(files, Mapping):
            files = make_config(FilesConfig, None, files)
        if files is not None:
            files.check_used([Path(impressions)] if isinstance(impressions, str | Path) else [])
        rows = read_impressions(
            impressions,
            needed.without_time() if at_end else needed,
            self.config.features.columns,
            files=files or self.config.files,
            labelled=labelled,
            optional=[name for name in (columns.user, columns.item, columns.time) if name],
            advice="The model reads these columns; name them as in training.",
        )
        return replace(rows, times=np.full(len(rows), np.iinfo(np.int64).max)) if at_end else rows

    def encode(self, impressions: Impressions, history: Histories | None = None) -> CTRData:
        """Encode impressions with their histories; see ``counts`` for what is unseen or missing.

        Args:
            impressions: What ``read`` gave.
            history: See ``rank``.
        """
        config = replace(
            self.config, columns=self.config.needed_columns(self.dataset is not None, impressions.labels is not None)
        )
        layout = full_layout(self.features, self.config.features, self.dataset)
        data = encode(impressions, config, self.features, layout, self.dataset, history)
        views = None if self.module.wide is None else self.module.wide.view_vectors
        return replace(data, timed=self.module.reads_times, typed=self.module.reads_event_types, views=views)

    def predict_encoded(self, rows: Impressions, data: CTRData, batch_size: int = 8192) -> pl.DataFrame:
        """Score what ``read`` and ``encode`` gave; see ``predict``."""
        scores = probabilities(self.module, data, self.history_len, batch_size).reshape(len(data), len(self.tasks))
        names = self.score_names
        frame = rows.frame.rename({name: f"{name}_read" for name in names}, strict=False)
        return frame.with_columns(pl.Series(name, score) for name, score in zip(names, scores.T, strict=True))

    @property
    def score_names(self) -> list[str]:
        """Columns of predictions, in the order of the tasks."""
        return ["probability"] if len(self.tasks) == 1 else [f"{task}_probability" for task in self.tasks]

    @property
    def history_len(self) -> int:
        """Last events before an impression that are read."""
        return self.config.model.history_len or 0

    @property
    def tasks(self) -> tuple[str, ...]:
        """Labels that are predicted, in the order of the columns."""
        return self.config.columns.tasks

    @property
    def fields(self) -> list[str]:
        """Fields of an impression in the order in which the head sees them."""
        return self.module.field_names

    def __repr__(self) -> str:
        (_, parts), _, (_, history), *metrics = self._description()
        lines = [f"CTRModel: {parts}, {len(self.fields)} fields, {history}"]
        return "\n".join([*lines, *(f"  {name}: {text}" for name, text in metrics)])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in self._description()
        )
        return f"<table><caption>CTRModel</caption>{cells}</table>"

    def _description(self) -> list[tuple[str, str]]:
        has_encoder = isinstance(self.module.reader, EncodedItems)
        return describe_model(self.config, self.fields, has_encoder, self.metrics)


def load_model(run: Path, dataset: ClickDataset | None = None, *, allow_parts: bool = False) -> CTRModel:
    """As ``CTRModel.load``, without a word about items that the model does not know."""
    return CTRModel(*read_artefact(run, dataset, allow_parts=allow_parts))
