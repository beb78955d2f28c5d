"""Files of an item index: ``index.faiss``, ``rows.npy``, ``put.npz`` and ``index.json``, sealed by checksums."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from recsys_bert.checksums import check_intact
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.retrieval import faiss_parts
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.retrieval.side_list import SideList

_KIND = "recsys_bert item index"
_VERSION = 2


@dataclass(frozen=True)
class IndexParts:
    """Contents of an index folder.

    Args:
        index: The FAISS index.
        stored: Item row of each of its vectors, -1 where the item was removed or has another vector in ``put``.
        put: Vectors beside it.
        removed: Rows that were removed.
        config: Settings.
        source: Origin of the vectors.
    """

    index: Any
    stored: np.ndarray
    put: SideList
    removed: np.ndarray
    config: IndexConfig
    source: dict[str, str]


def save_index(folder: Path, parts: IndexParts, beside: Callable[[Path], None] | None = None) -> None:
    """Write an index to ``folder``, whole or not at all.

    Args:
        folder: An index there is replaced.
        parts: Its contents.
        beside: Writes more into the folder, before it is sealed.

    Raises:
        InputError: The folder cannot be written.
    """
    with replacing(folder, sealed=True) as temporary:
        temporary.mkdir()
        faiss.write_index(parts.index, str(temporary / "index.faiss"))
        np.save(temporary / "rows.npy", parts.stored)
        np.savez(temporary / "put.npz", rows=parts.put.rows, vectors=parts.put.vectors, removed=parts.removed)
        n_rows = int((parts.stored >= 0).sum()) + len(parts.put)
        about = {"kind": _KIND, "version": _VERSION, "dim": int(parts.index.d), "n_rows": n_rows}
        write_json(temporary / "index.json", about | {"source": parts.source, "config": asdict(parts.config)})
        if beside is not None:
            beside(temporary)


def load_index(folder: Path) -> IndexParts:
    """Read what ``save_index`` wrote.

    Raises:
        InputError: The folder is missing, is not one of ours, comes from another version or is damaged.
    """
    if not (folder / "index.json").is_file():
        raise InputError(f"{folder} is not an item index: it has no index.json. Make one with `recsys-bert index`.")
    about = read_json(folder / "index.json")
    if not isinstance(about, dict) or about.get("kind") != _KIND or about.get("version") != _VERSION:
        raise InputError(f"{folder}/index.json is not that of an item index, version {_VERSION}. Make it again.")
    check_intact(folder, "make the index again")
    try:
        stored = np.load(folder / "rows.npy", allow_pickle=False)
        with np.load(folder / "put.npz", allow_pickle=False) as arrays:
            put, removed = SideList(arrays["rows"], arrays["vectors"]), arrays["removed"]
        config = IndexConfig(**about["config"])
        index = faiss.read_index(str(folder / "index.faiss"))
        source = about["source"]
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"item index {folder} cannot be read: {error}. Make it again.") from error
    faiss_parts.set_knobs(index, config)
    return IndexParts(index, stored, put, removed, config, source)
