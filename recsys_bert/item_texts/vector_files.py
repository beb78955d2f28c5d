"""Text vectors of items on disk: arrays, tables and settings with checksums; nothing that runs."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.checksums import NAME as CHECKSUMS
from recsys_bert.checksums import check_intact, write_checksums
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.parts import build, saved_parts
from recsys_bert.errors import InputError
from recsys_bert.files import check_nothing_lost, read_json, write_json
from recsys_bert.item_texts import TEXT_VECTORS
from recsys_bert.item_texts.alignment import aligned
from recsys_bert.item_texts.config import ItemVectorsConfig
from recsys_bert.item_texts.item_vectors import ItemVectors
from recsys_bert.item_texts.reduction import Reduction, sketch_of
from recsys_bert.settings_types import check_settings, fill

_VERSION = 1
_KIND = "recsys_bert item vectors"
_REMEDY = "make the item vectors again"


def is_item_vectors(folder: Path) -> bool:
    """True iff a folder holds item vectors."""
    path = folder / "config.json"
    return path.is_file() and isinstance(about := read_json(path), dict) and about.get("kind") == _KIND


def check_target(folder: Path) -> None:
    """Refuse to replace what is no folder of item vectors.

    Raises:
        InputError: ``folder`` is a file, or a folder with other contents.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_item_vectors(folder):
        raise InputError(f"{folder} is there and holds no item vectors. Choose another --out, or remove it.")
    about = read_json(folder / "config.json")
    names = {"config.json", "vectors.npy", "items.parquet", CHECKSUMS}
    names |= {f"{name}.npy" for name in about.get("arrays", ())} | {
        f"{name}.parquet" for name in about.get("lists", ())
    }
    check_nothing_lost(folder, names, "a folder of item vectors")


def save_item_vectors(folder: Path, vectors: ItemVectors) -> None:
    """Write item vectors into a folder; made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    first = vectors.first_item
    np.save(folder / "vectors.npy", vectors.rows[first:])
    table = pl.DataFrame({"item_id": vectors.item_ids, "text_digest": vectors.digests[first:]})
    table.write_parquet(folder / "items.parquet")
    state = vectors.way.state()
    if vectors.reduction is not None:
        state |= _reduction_state(vectors.reduction)
    for name, value in state.items():
        if isinstance(value, list):
            pl.DataFrame({name: value}, schema={name: pl.String}).write_parquet(folder / f"{name}.parquet")
        else:
            np.save(folder / f"{name}.npy", value)
    about = {"kind": _KIND, "version": _VERSION, "prepared": vectors.data, "counts": vectors.counts}
    lists = sorted(name for name, value in state.items() if isinstance(value, list))
    about |= {"arrays": sorted(set(state) - set(lists)), "lists": lists}
    settings = {one.name: getattr(vectors.config, one.name) for one in fields(ItemVectorsConfig)}
    write_json(folder / "config.json", about | {"settings": settings})
    write_checksums(folder)


def load_item_vectors(folder: Path | str, dataset: ClickDataset, source: Any = None) -> ItemVectors:
    """Load item vectors for the rows of a log; see ``aligned`` for one that changed since.

    Args:
        folder: What ``save_item_vectors`` or ``item-vectors`` wrote.
        dataset: The log.
        source: The text encoder, for vectors by one: new texts can have vectors then.

    Raises:
        InputError: It holds no item vectors, is damaged, of another log, or its text encoder changed.
    """
    return aligned(_open(Path(folder), source), dataset)


def vectors_for_log(folder: Path | str, dataset: ClickDataset, source: Any = None) -> NDArray[np.float32]:
    """Vectors of any log's items in the space of item vectors that were made for one: its words, by their fitted map.

    Args:
        folder: What ``item-vectors`` wrote.
        dataset: The log, prepared with words; that of the item vectors itself needs none.
        source: The text encoder, for vectors by one.

    Returns:
        ``[n_rows, dim]`` by catalogue row; zeros without text.

    Raises:
        InputError: As ``load_item_vectors``; or it is another log, and the vectors cannot encode its words.
    """
    vectors = _open(Path(folder), source)
    if vectors.data == dataset.fingerprint:
        return aligned(vectors, dataset).rows
    return vectors.encode_log(dataset)


def _open(folder: Path, source: Any) -> ItemVectors:
    """Read item vectors as they were written.

    Raises:
        InputError: It holds no item vectors, is damaged, or its text encoder changed.
    """
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder} holds no item vectors. Make them with: recsys-bert item-vectors DATA --out {folder}"
        )
    about = read_json(folder / "config.json")
    if not isinstance(about, dict) or about.get("kind") != _KIND or about.get("version") != _VERSION:
        raise InputError(f"{folder} holds no item vectors, or those of another version than {_VERSION}; {_REMEDY}.")
    check_intact(folder, _REMEDY)
    try:
        vectors = _read(folder, about, source)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{folder} is damaged: {error}. Restore it from a copy, or {_REMEDY}.") from error
    return vectors


def _read(folder: Path, about: dict[str, Any], source: Any) -> ItemVectors:
    state: dict[str, Any] = {name: _array(folder / f"{name}.npy") for name in about["arrays"]}
    state |= {name: pl.read_parquet(folder / f"{name}.parquet", glob=False)[name].to_list() for name in about["lists"]}
    config = fill(ItemVectorsConfig, check_settings(ItemVectorsConfig, about["settings"], str(folder / "config.json")))
    table, rows = pl.read_parquet(folder / "items.parquet", glob=False), _array(folder / "vectors.npy")
    reduction = _reduction_of(state)
    if rows.ndim != 2 or len(rows) != table.height or not np.isfinite(rows).all():
        raise ValueError(f"vectors.npy is {list(rows.shape)} for {table.height:,} items, or not finite")
    if reduction is not None and reduction.dim != rows.shape[1]:
        raise ValueError(f"vectors are {rows.shape[1]} wide, and the map makes {reduction.dim} numbers")
    with saved_parts(folder):
        way = build("text vectors", config.by, TEXT_VECTORS, source, options=config.options)
    digests = table["text_digest"].to_numpy().astype(np.uint64)
    return ItemVectors(
        rows, table["item_id"], digests, way.restore(state), reduction, config, about["counts"], about["prepared"]
    )


def _array(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


def _reduction_state(reduction: Reduction) -> dict[str, Any]:
    """Arrays of a reduction; of a sketch its columns and signs."""
    if not sparse.issparse(reduction.components):
        return {"mean": reduction.mean, "components": reduction.components}
    return {
        "sketch_columns": reduction.components.indices.astype(np.int32),
        "sketch_signs": reduction.components.data,
        "sketch_dim": np.array(reduction.dim),
    }


def _reduction_of(state: dict[str, Any]) -> Reduction | None:
    if "components" in state:
        return Reduction(state["mean"], state["components"])
    if "sketch_dim" not in state:
        return None
    return sketch_of(state["sketch_columns"], state["sketch_signs"], int(state["sketch_dim"]))
