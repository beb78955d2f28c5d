"""Export the user side of a run to ONNX."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.support.outputs import check_place


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write the user side of towers or of an encoder for onnxruntime, with item vectors and the rows of ids beside it.

    The folder's about.json says what the inputs are; the inner product of an output and a row of item_vectors.npy is
    the score.
    """

    run: Path
    """Run folder of `pretrain` or `train-retrieval`."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    out: Path
    """Folder to write; it must not be there, or be empty."""

    to: Literal["onnx"] = "onnx"
    """Format."""

    json: bool = False
    """Print names and sizes of the files as JSON on stdout."""

    def __post_init__(self) -> None:
        check_place(self.out, folder=True)


def run(config: Config) -> dict[str, Any]:
    """Load and export.

    Returns:
        Bytes by file.

    Raises:
        InputError: A run and a log that do not belong together, or a model with a part that ONNX lacks.
    """
    from recsys_bert.retrieval.recommender import Recommender

    folder = Recommender.load(config.run, config.data).export(config.out, config.to)
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    for name, size in sizes.items():
        print(f"{folder / name}: {size / 2**20:,.1f} MiB", file=sys.stderr)
    if config.json:
        print(json.dumps(sizes))
    return sizes
