"""A trained CTR model with everything it takes to score impressions."""

import html
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
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

FOLDER, VERSION = "ctr", 1
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
        self.config = CTRConfig(**{field.name: getattr(config, field.name) for field in fields(CTRConfig)})

    @staticmethod
    def load(run: Path | str, dataset: ClickDataset | None = None, *, allow_parts: bool = False) -> "CTRModel":
        """Load a run of ``train_ctr``, or what ``save`` wrote.

        Args:
            run: The folder.
            dataset: The prepared log; by default opened where it was at training. Its item rows must be the same.
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
            module = build_module(config.model, layout, dataset, encoder_run=folder)
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
                save_encoder(temporary / "encoder", reader.pretrained, self.dataset)
            source = None
            if self.dataset is not None:
                source = {"folder": str(self.dataset.folder), "fingerprint": self.dataset.fingerprint}
            write_json(temporary / "ctr.json", {"version": VERSION, "dataset": source})

    def predict(self, impressions: Frame | Path | str, batch_size: int = 8192) -> NDArray[np.float64]:
        """Click probabilities.

        Args:
            impressions: Table of any library, or a file, with the columns of the training impressions; no label.
            batch_size: Impressions at a time.

        Returns:
            ``[n]``, in the order of the impressions.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        return self.predict_encoded(self.encode(self.read(impressions)), batch_size)

    def evaluate(self, impressions: Frame | Path | str, batch_size: int = 8192) -> dict[str, float]:
        """AUC, log loss, calibration error and, where users are known, GAUC.

        Args:
            impressions: As for ``predict``, with labels.
            batch_size: Impressions at a time.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        data = self.encode(self.read(impressions, labelled=True))
        return evaluate(self.module, data, self.history_len, batch_size)

    def read(self, impressions: Frame | Path | str, labelled: bool = False) -> Impressions:
        """Read the columns that the model needs, and labels where wanted.

        Raises:
            InputError: A column is missing or cannot be read.
        """
        return read_impressions(
            impressions,
            self._columns(labelled),
            self.config.features.columns,
            files=self.config.files,
            labelled=labelled,
        )

    def encode(self, impressions: Impressions) -> CTRData:
        """Encode impressions with their histories; see ``counts`` for what is unseen or missing."""
        columns = self._columns(impressions.labels is not None)
        layout = full_layout(self.features, self.config.features, self.dataset)
        data = encode(impressions, columns, self.features, layout, self.dataset)
        if not self.history_len:  # the prepared log gives side features only
            data = replace(data, histories=None)
        return replace(data, timed=self.module.reads_times)

    def predict_encoded(self, data: CTRData, batch_size: int = 8192) -> NDArray[np.float64]:
        """Click probabilities of encoded impressions ``[n]``."""
        return probabilities(self.module, data, self.history_len, batch_size)

    @property
    def history_len(self) -> int:
        """Last events before an impression that are read."""
        return self.config.model.history_len or 0

    @property
    def fields(self) -> list[str]:
        """Fields of an impression in the order in which the head sees them."""
        return self.module.field_names

    def _columns(self, labelled: bool) -> Any:
        """Columns that are needed: time only for histories, the user for histories, fields or GAUC."""
        columns = self.config.columns
        if self.dataset is not None:
            return columns
        needs_user = labelled or "user" in self.config.features.ids
        return replace(columns, time=None, user=columns.user if needs_user else None)

    def __repr__(self) -> str:
        lines = [f"CTRModel: head {self.config.model.head}, {len(self.fields)} fields, {self._history()}"]
        return "\n".join([*lines, *(f"  {name}: {text}" for name, text in self._metrics())])

    def _repr_html_(self) -> str:
        rows = [
            ("head", self.config.model.head),
            ("fields", ", ".join(self.fields)),
            ("history", self._history()),
            *self._metrics(),
        ]
        cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows)
        return f"<table><caption>CTRModel</caption>{cells}</table>"

    def _history(self) -> str:
        if not self.history_len:
            return "no history"
        mode = self.config.model.encoder_mode.replace("_", "-")
        source = f"{mode} encoder" if isinstance(self.module.reader, EncodedItems) else "item embeddings"
        return f"last {self.history_len} events through {source}"

    def _metrics(self) -> list[tuple[str, str]]:
        parts = [(name, self.metrics[name]) for name in ("validation", "test") if name in self.metrics]
        return [(name, describe_metrics(metrics)) for name, metrics in parts]


def describe_metrics(metrics: dict[str, float]) -> str:
    """One line: AUC, GAUC, log loss, calibration error."""
    return ", ".join(f"{name} {metrics[key]:.4f}" for name, key in METRICS.items() if key in metrics)


def _open_dataset(run: Path, source: dict[str, str] | None, dataset: ClickDataset | None) -> ClickDataset | None:
    """The prepared log of a run: ``dataset``, or the folder it was trained with."""
    if source is None:
        if dataset is not None:
            raise InputError(f"{run} was trained on impressions alone and reads no prepared log; leave it out.")
        return None
    if dataset is None and not Path(source["folder"]).exists():
        raise InputError(f"{run} was trained with the prepared log {source['folder']}, which is gone. Give the log.")
    dataset = open_dataset(Path(source["folder"])) if dataset is None else dataset
    dataset.check_same(source["fingerprint"])
    return dataset
