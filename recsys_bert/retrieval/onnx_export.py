"""Export of a trained model to ONNX: its user side, and beside it all that its inputs and outputs are read with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.vocabulary import PAD, UNKNOWN
from recsys_bert.errors import InputError
from recsys_bert.files import replacing, write_json
from recsys_bert.onnx_files import OPSET, check_onnxruntime
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.user_side_onnx import OUTPUT, Trained, user_side_file

if TYPE_CHECKING:
    from recsys_bert.retrieval.user_side import UserSide

INPUTS = {
    "items": "int64 [batch, seq]: item rows, oldest first, 0 after the last; the last max_len of a longer history",
    "lengths": "int64 [batch]: items of each history, at least 1",
    "users": "int64 [batch]: user rows; -1 for a user of no log",
    "times": "int64 [batch, seq]: unix seconds of the items, 0 after the last",
    "event_types": "int64 [batch, seq]: codes of event_types below, 0 for none",
}
"""Meaning of the file's inputs, by name."""


def export_onnx(ranker: Ranker, dataset: ClickDataset, folder: Path) -> Path:
    """Write a folder that ranks without torch: ``vectors @ item_vectors.T`` are the scores.

    ``model.onnx`` maps histories to ``vectors``, float32 ``[batch, d]``; ``item_vectors.npy`` has a row for each item
    row; ``item_rows.parquet`` and, where the model reads features of users, ``user_rows.parquet`` give the rows of ids;
    ``about.json`` says the rest: the inputs, which row is padding and which an unknown item, codes of event types.

    Args:
        ranker: The model.
        dataset: Its log.
        folder: Folder to write; it must not be there, or be empty.

    Raises:
        InputError: It is no encoder and no towers, a part of it has no counterpart in ONNX, or the folder is not empty;
            or onnxruntime is missing or too old.
    """
    check_onnxruntime("export to onnx")
    if not isinstance(ranker, Trained):
        raise InputError(
            f"{ranker.name} is no run of pretrain or train-retrieval with the items of its log: what score fusion and "
            "items that were put in add is no part of a user's side. Export the run itself."
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty. Choose another folder, or remove it.")
    file, difference = user_side_file(side := ranker.user_side, ranker.name)
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True, exist_ok=True)
        (temporary / "model.onnx").write_bytes(file)
        np.save(temporary / "item_vectors.npy", ranker.item_vectors())
        _write_rows(temporary, ranker, side, dataset)
        write_json(temporary / "about.json", {**_about(ranker, side, dataset), "largest_difference": difference})
    return folder


def _write_rows(folder: Path, ranker: Ranker, side: "UserSide", dataset: ClickDataset) -> None:
    rows = np.arange(ranker.first_item, ranker.shape[0])
    items = pl.DataFrame({"item_id": dataset.ids(rows).rename("item_id"), "item_row": rows})
    items.write_parquet(folder / "item_rows.parquet")
    if side.reads_users:
        users = dataset.user_ids.rename("user_id").to_frame().with_row_index("user_row")
        users.write_parquet(folder / "user_rows.parquet")


def _about(ranker: Ranker, side: "UserSide", dataset: ClickDataset) -> dict[str, Any]:
    reads = {"users": side.reads_users, "times": side.reads_times, "event_types": side.reads_event_types}
    return {
        "model": ranker.name,
        "opset": OPSET,
        "inputs": {name: meaning for name, meaning in INPUTS.items() if reads.get(name, True)},
        "output": {OUTPUT: f"float32 [batch, {ranker.shape[1]}]"},
        "max_len": side.max_len,
        "padding_row": PAD,
        "unknown_row": UNKNOWN,
        "first_item": ranker.first_item,
        "event_types": {name: FIRST_VALUE + code for code, name in enumerate(dataset.event_types)}
        if side.reads_event_types
        else {},
        "prepared": dataset.fingerprint,
    }
