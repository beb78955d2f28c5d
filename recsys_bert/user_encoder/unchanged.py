"""Check that a prepared log is the one that a run was begun with."""

from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.files import fingerprint
from recsys_bert.item_texts.texts import text_digests
from recsys_bert.training.run_folder import check_unchanged, is_first_process
from recsys_bert.user_encoder.trained_on import record_training
from recsys_bert.user_encoder.trained_text import TrainedText


def check_log_unchanged(
    out: Path, dataset: "ClickDataset", *runs: Path | None, item_vectors: NDArray[np.floating] | None = None
) -> None:
    """Record which prepared log and other runs a run reads, or check that they are the same when it is resumed.

    See ``check_unchanged`` and ``record_training``.
    """
    weights = {run: weights_fingerprint(run) for run in runs if run is not None}
    contents = {dataset.folder: log_digest(dataset), **feature_digests(dataset), **weights}
    if item_vectors is not None:
        contents[Path("item_vectors")] = sha256(np.ascontiguousarray(item_vectors).tobytes()).hexdigest()
    check_unchanged(out, contents)
    if is_first_process():
        record_training(out, dataset, weights)


def log_digest(dataset: "ClickDataset") -> str:
    """Digest of a log: equal if it was prepared from the same events in the same way."""
    manifest = dataset.manifest
    parts = [manifest.fingerprint, manifest.log.get("sha256"), manifest.filters, manifest.split, manifest.counts]
    parts += [manifest.event_types, manifest.weights]
    return sha256(repr(parts).encode()).hexdigest()


def feature_digests(dataset: "ClickDataset") -> dict[Path, str]:
    """Digests of the side features of items and of users, by the folder that holds them, if there are any.

    The log's own digest covers which values there are, not which item has which. A text encoder that is trained counts
    by its weights at the start, with the texts.
    """
    trained = {name: source for name, source in dataset.added_dense.items() if isinstance(source, TrainedText)}
    digests = {}
    for kind, codes, dense in (
        ("item", dataset.item_features, dataset.item_dense),
        ("user", dataset.user_features, dataset.user_dense),
    ):
        digest = sha256()
        tables = {**codes, **{name: numbers.values for name, numbers in dense.items() if name not in trained}}
        for name, table in tables.items():
            digest.update(f"{name} {table.shape}".encode() + table.tobytes())
        for name, text in trained.items() if kind == "item" else ():
            digest.update(f"{name} {text.digest} {text_digests(text.texts).tolist()}".encode())
        if codes or dense:
            digests[dataset.folder / f"{kind}_features"] = digest.hexdigest()
    return digests


def weights_fingerprint(*runs: Path) -> str:
    """Hash of the trained weights of some runs of ``pretrain`` or ``train-retrieval``."""
    folders = [run / name for run in runs for name in ("encoder", "two_tower")]
    return fingerprint([path for folder in folders for path in sorted(folder.glob("*.safetensors"))])
