"""A CTR model on disk: settings, features, weights, encoder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsys_bert.checksums import check_intact
from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.ctr.build import build_module
from recsys_bert.ctr.config import CTRConfig
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.history import EncodedItems
from recsys_bert.ctr.model import CTRModule
from recsys_bert.encoder.parts import allowing_parts, saved_parts
from recsys_bert.encoder.saved_sizes import saved_sizes
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.item_texts.text_feature import with_saved_text
from recsys_bert.settings import read_config, write_config
from recsys_bert.training.checkpoints import save_weights
from recsys_bert.user_encoder.checkpoint import save_encoder

FOLDER, VERSION = "ctr", 2


def write_artefact(
    run: Path, config: CTRConfig, features: Features, module: CTRModule, dataset: ClickDataset | None
) -> None:
    """Write ``run/ctr``, all or nothing."""
    with replacing(run / FOLDER, sealed=True) as temporary:
        features.save(temporary / "features")
        write_config(config, temporary / "config.toml")
        save_weights(temporary / "model.safetensors", module)
        reader, source = module.reader, None
        if dataset is not None:
            if isinstance(reader, EncodedItems):
                save_encoder(temporary / "encoder", reader.pretrained, reader.pretrained.known or dataset)
            dataset.save_vocabulary(temporary)
            source = {"folder": str(dataset.folder), "fingerprint": dataset.fingerprint}
        write_json(temporary / "ctr.json", {"version": VERSION, "dataset": source})


def read_artefact(
    run: Path, dataset: ClickDataset | None, *, allow_parts: bool
) -> tuple[CTRModule, Features, CTRConfig, ClickDataset | None, dict[str, Any] | None]:
    """Read what ``write_artefact`` wrote, and the metrics of the run where there are any; see ``CTRModel.load``.

    Raises:
        InputError: No trained model, a damaged one, or another prepared log.
    """
    folder = run / FOLDER
    if not (folder / "ctr.json").exists():
        raise InputError(f"{run} holds no trained CTR model ({folder / 'ctr.json'} is missing). Run train-ctr first.")
    about = read_json(folder / "ctr.json")
    version = about.get("version") if isinstance(about, dict) else None
    if version != VERSION:
        raise InputError(f"{folder} has format {version}; this version reads {VERSION}. Train it again.")
    check_intact(folder, "train it again")
    config = read_config(CTRConfig, folder / "config.toml")
    dataset = _open_dataset(run, about["dataset"], dataset)
    dataset = None if dataset is None else with_saved_text(dataset, folder)
    features = Features.load(folder / "features")
    weights = folder / "model.safetensors"
    with allowing_parts(allow_parts), saved_parts(folder), saved_sizes(asdict(config.model), weights):
        module = build_module(config, features, dataset, folder)
    load_weights(module, weights)
    metrics = read_json(run / "metrics.json", sealed=True) if (run / "metrics.json").exists() else None
    return module.eval(), features, config, dataset, metrics


def _open_dataset(run: Path, source: dict[str, str] | None, dataset: ClickDataset | None) -> ClickDataset | None:
    """The prepared log of a run: ``dataset``, or the folder it was trained with."""
    if source is None:
        if dataset is not None:
            raise InputError(f"{run} was trained on impressions alone and reads no prepared log; leave it out.")
        return None
    if dataset is None and not Path(source["folder"]).exists():
        raise InputError(f"{run} was trained with the prepared log {source['folder']}, which is gone. Give the log.")
    dataset = open_dataset(Path(source["folder"])) if dataset is None else dataset
    return dataset.known_to(source["fingerprint"])
