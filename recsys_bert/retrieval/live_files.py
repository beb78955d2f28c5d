"""Live items on disk: ``items.parquet``, ``texts.npy``, a file of vectors for each model, and ``live.json``."""

from pathlib import Path

import numpy as np
import polars as pl

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.retrieval.extended_ranker import models_of
from recsys_bert.retrieval.live_items import LiveItems
from recsys_bert.retrieval.ranker import Ranker

_VERSION = 1
FOLDER = "live_items"
"""Name of the folder inside an index or a run."""


def write_live_items(folder: Path, live: LiveItems, dataset: ClickDataset) -> None:
    """Write live items into a new folder; whoever seals what is around it seals them too."""
    folder.mkdir()
    np.savez(folder / "rows.npz", rows=live.rows, removed=live.removed)
    np.save(folder / "texts.npy", live.texts)
    for number, vectors in enumerate(live.vectors):
        np.save(folder / f"vectors-{number}.npy", vectors)
    if live.added is not None:
        live.added.write_parquet(folder / "items.parquet")
    about = {"version": _VERSION, "models": len(live.vectors), "prepared": dataset.fingerprint}
    write_json(folder / "live.json", about | {"log_rows": dataset.n_rows})


def read_live_items(folder: Path, ranker: Ranker, dataset: ClickDataset) -> LiveItems | None:
    """Read live items; None where there are none.

    Args:
        folder: What ``write_live_items`` wrote, of an intact index or run.
        ranker: The model as it was trained.
        dataset: The log that it was trained on.

    Raises:
        InputError: They are of another version, another model or another log, or damaged.
    """
    if not (folder / "live.json").is_file():
        return None
    about = read_json(folder / "live.json")
    again = "Put the items in again, into an index made anew."
    if not isinstance(about, dict) or about.get("version") != _VERSION:
        raise InputError(f"{folder}/live.json is not of version {_VERSION}. {again}")
    if (about.get("prepared"), about.get("log_rows")) != (dataset.fingerprint, dataset.n_rows):
        raise InputError(
            f"the items in {folder} were put into the catalogue of another state of the log than {dataset.folder}, so "
            f"their rows mean other items. {again}"
        )
    try:
        with np.load(folder / "rows.npz", allow_pickle=False) as arrays:
            rows, removed = arrays["rows"], arrays["removed"]
        texts = np.load(folder / "texts.npy", allow_pickle=False)
        vectors = tuple(np.load(folder / f"vectors-{n}.npy", allow_pickle=False) for n in range(about["models"]))
        path = folder / "items.parquet"
        added = pl.read_parquet(path, glob=False) if path.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{folder} is damaged: {error}. {again}") from error
    n_rows = dataset.n_rows + (0 if added is None else added.height)
    widths = [model.shape[1] for model in models_of(ranker)]
    is_whole = [part.shape for part in vectors] == [(len(rows), width) for width in widths] and len(texts) == len(rows)
    if not is_whole or not all(np.isfinite(part).all() for part in (*vectors, texts)):
        raise InputError(f"the vectors in {folder} are not those of {ranker.name}, or not finite. {again}")
    if any(
        len(part) and not dataset.vocabulary.first_item <= part.min() <= part.max() < n_rows for part in (rows, removed)
    ):
        raise InputError(f"{folder} names rows outside of the catalogue's {n_rows:,}. {again}")
    return LiveItems(added, rows, texts, vectors, removed)
