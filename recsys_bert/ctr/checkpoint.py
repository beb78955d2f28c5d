"""A trained CTR model with everything it takes to score impressions."""

import html
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.clicks.frames import Frame
from recsys_bert.ctr.build import build_module
from recsys_bert.ctr.config import CTRConfig
from recsys_bert.ctr.data import CTRData, encode, full_layout
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.history import EncodedItems
from recsys_bert.ctr.impressions import Impressions, read_impressions
from recsys_bert.ctr.inference import evaluate, probabilities
from recsys_bert.ctr.model import CTRModule
from recsys_bert.encoder.model import load_weights
from recsys_bert.encoder.parts import allowing_parts, saved_parts
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.settings import read_config, write_config
from recsys_bert.training.checkpoints import save_weights
from recsys_bert.user_encoder.checkpoint import save_encoder

FOLDER, VERSION = "ctr", 2
METRICS = {"AUC": "auc", "GAUC": "gauc", "log loss": "log_loss", "calibration error": "calibration_error"}


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
        if config.columns.history is not None and module.reads_times:
            raise InputError(
                f"model.encoder reads the times of histories, which columns.history ({config.columns.history!r}) has "
                "not. Take histories from the prepared log's events, or another encoder."
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
        run = Path(run)
        folder = run / FOLDER
        if not (folder / "ctr.json").exists():
            raise InputError(
                f"{run} holds no trained CTR model ({folder / 'ctr.json'} is missing). Run train-ctr first."
            )
        about = read_json(folder / "ctr.json")
        if about["version"] != VERSION:
            raise InputError(f"{folder} has format {about['version']}; this version reads {VERSION}. Train it again.")
        config = read_config(CTRConfig, folder / "config.toml")
        dataset = _open_dataset(run, about["dataset"], dataset)
        features = Features.load(folder / "features")
        layout = full_layout(features, config.features, dataset)
        with allowing_parts(allow_parts), saved_parts(folder):
            n_items = 0 if features.items is None else features.items.n_rows
            module = build_module(config.model, layout, dataset, folder, len(config.columns.tasks), n_items)
        load_weights(module, folder / "model.safetensors")
        metrics = read_json(run / "metrics.json") if (run / "metrics.json").exists() else None
        return CTRModel(module.eval(), features, config, dataset, metrics)

    def save(self, folder: Path | str) -> None:
        """Write ``folder/ctr``, all or nothing: settings, features, weights, encoder."""
        with replacing(Path(folder) / FOLDER) as temporary:
            self.features.save(temporary / "features")
            write_config(self.config, temporary / "config.toml")
            save_weights(temporary / "model.safetensors", self.module)
            reader = self.module.reader
            if isinstance(reader, EncodedItems) and self.dataset is not None:
                save_encoder(temporary / "encoder", reader.pretrained, reader.pretrained.known or self.dataset)
            source = None
            if self.dataset is not None:
                self.dataset.save_vocabulary(temporary)
                source = {"folder": str(self.dataset.folder), "fingerprint": self.dataset.fingerprint}
            write_json(temporary / "ctr.json", {"version": VERSION, "dataset": source})

    def predict(self, impressions: Frame | Path | str, batch_size: int = 8192) -> pl.DataFrame:
        """Score impressions; values that training did not see, and missing ones, are counted on the terminal.

        Args:
            impressions: Table of any library, or a file, with the columns of the training impressions; no label.
            batch_size: Impressions at a time.

        Returns:
            One row an impression, in order: user, item and time where they are there, the columns that the model reads,
            and ``probability``; of several tasks one column each, as ``buy_probability``. A column that has such a
            name already becomes ``probability_read``.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        rows = self.read(impressions)
        data = self.encode(rows)
        if any(data.counts.values()):
            print(f"{len(data):,} impressions{describe_counts(data.counts)}", file=sys.stderr)
        return self.predict_encoded(rows, data, batch_size)

    def probabilities(self, impressions: Frame | Path | str, batch_size: int = 8192) -> NDArray[np.float64]:
        """Click probabilities alone.

        Args:
            impressions: As for ``predict``.
            batch_size: Impressions at a time.

        Returns:
            ``[n]``, in the order of the impressions; ``[n, n_tasks]`` of several tasks.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        return probabilities(self.module, self.encode(self.read(impressions)), self.history_len, batch_size)

    def unknown_values(self, impressions: Frame | Path | str) -> dict[str, int]:
        """Count values that training did not see or that are missing, by ``field: reason``; zeros left out.

        Args:
            impressions: As for ``predict``.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        counts = self.encode(self.read(impressions)).counts
        return {reason: count for reason, count in counts.items() if count}

    def evaluate(self, impressions: Frame | Path | str, batch_size: int = 8192) -> dict[str, float]:
        """AUC, log loss, calibration error and, where users are known, GAUC; of several tasks of each.

        Args:
            impressions: As for ``predict``, with labels.
            batch_size: Impressions at a time.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        data = self.encode(self.read(impressions, labelled=True))
        return evaluate(self.module, data, self.history_len, self.tasks, batch_size)

    def read(self, impressions: Frame | Path | str, labelled: bool = False) -> Impressions:
        """Read the columns that the model needs, ids and times where they are there, and labels where wanted.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        columns = self.config.columns
        return read_impressions(
            impressions,
            self._columns(labelled),
            self.config.features.columns,
            files=self.config.files,
            labelled=labelled,
            optional=[name for name in (columns.user, columns.item, columns.time) if name],
            advice="The model reads these columns; name them as in training.",
        )

    def encode(self, impressions: Impressions) -> CTRData:
        """Encode impressions with their histories; see ``counts`` for what is unseen or missing."""
        config = replace(self.config, columns=self._columns(impressions.labels is not None))
        layout = full_layout(self.features, self.config.features, self.dataset)
        data = encode(impressions, config, self.features, layout, self.dataset)
        return replace(data, timed=self.module.reads_times)

    def predict_encoded(self, rows: Impressions, data: CTRData, batch_size: int = 8192) -> pl.DataFrame:
        """Score what ``read`` and ``encode`` gave; see ``predict``."""
        scores = probabilities(self.module, data, self.history_len, batch_size).reshape(len(data), len(self.tasks))
        names = ["probability"] if len(self.tasks) == 1 else [f"{task}_probability" for task in self.tasks]
        frame = rows.frame.rename({name: f"{name}_read" for name in names}, strict=False)
        return frame.with_columns(pl.Series(name, score) for name, score in zip(names, scores.T, strict=True))

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

    def _columns(self, labelled: bool) -> Any:
        """Columns that are needed: time only for histories, the user for histories, fields or GAUC."""
        columns, has_log = self.config.columns, self.dataset is not None
        needs_user = has_log or labelled or "user" in self.config.features.ids
        needs_time = has_log and self.history_len and columns.history is None
        user, time = columns.user if needs_user else None, columns.time if needs_time else None
        unit = columns.time_unit if time else type(columns).time_unit
        return replace(columns, user=user, time=time, time_unit=unit)

    def __repr__(self) -> str:
        lines = [f"CTRModel: {self._parts()}, {len(self.fields)} fields, {self._history()}"]
        return "\n".join([*lines, *(f"  {name}: {text}" for name, text in self._metrics())])

    def _repr_html_(self) -> str:
        rows = [
            ("model", self._parts()),
            ("fields", ", ".join(self.fields)),
            ("history", self._history()),
            *self._metrics(),
        ]
        cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows)
        return f"<table><caption>CTRModel</caption>{cells}</table>"

    def _parts(self) -> str:
        head = f"head {self.config.model.head}"
        if len(self.tasks) == 1:
            return head
        return f"{self.config.model.multi_task} for {', '.join(self.tasks)} on {head}"

    def _history(self) -> str:
        if not self.history_len:
            return "no history"
        mode = self.config.model.encoder_mode.replace("_", "-")
        source = f"{mode} encoder" if isinstance(self.module.reader, EncodedItems) else "item embeddings"
        return f"last {self.history_len} events through {source}"

    def _metrics(self) -> list[tuple[str, str]]:
        parts = [(name, self.metrics[name]) for name in ("validation", "test") if name in self.metrics]
        return [
            (f"{name}{' ' if task else ''}{task}", text)
            for name, metrics in parts
            for task, text in describe_metrics(metrics, self.tasks)
        ]


def describe_metrics(metrics: dict[str, float], tasks: Sequence[str] = ("label",)) -> list[tuple[str, str]]:
    """AUC, GAUC, log loss and calibration error on one line, by task; the only task has no name."""
    names = [("", "")] if len(tasks) == 1 else [(task, f"{task}.") for task in tasks]
    return [
        (task, ", ".join(f"{name} {metrics[at + key]:.4f}" for name, key in METRICS.items() if at + key in metrics))
        for task, at in names
    ]


def describe_counts(counts: Mapping[str, int]) -> str:
    """Counts on one line, each after a semicolon."""
    return "".join(f"; {reason}: {count:,}" for reason, count in counts.items() if count)


def _open_dataset(run: Path, source: dict[str, str] | None, dataset: ClickDataset | None) -> ClickDataset | None:
    """The prepared log of a run: ``dataset``, or the folder it was trained with."""
    if source is None:
        if dataset is not None:
            raise InputError(f"{run} was trained on impressions alone and reads no prepared log; leave it out.")
        return None
    if dataset is None and not Path(source["folder"]).exists():
        raise InputError(f"{run} was trained with the prepared log {source['folder']}, which is gone. Give the log.")
    dataset = open_dataset(Path(source["folder"])) if dataset is None else dataset
    known = dataset.known_to(source["fingerprint"])
    if known is not dataset:
        print(
            f"{run} was trained before {known.n_new_items:,} items of {dataset.folder} came: as targets and in "
            "histories they are read as unknown, with their features where the model reads those. Go on training with "
            f"--init {run}.",
            file=sys.stderr,
        )
    return known
