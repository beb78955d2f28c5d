"""Fit a part, apply it to tables, and keep it in a folder."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from recsys_bert.encoder.parts import Options, build, check_allowed
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.post_processing import POST_PROCESSING

_FILE, _WEIGHTS = "post_processing.json", "post_processing.safetensors"

Floats = NDArray[np.float32]


class PostProcessing:
    """Fitted part with the name and options that it was built by.

    Args:
        name: In ``POST_PROCESSING``, or ``module:Class``.
        dim: Width of the vectors that it takes.
        options: Of the part.
    """

    def __init__(self, name: str, dim: int, options: Options) -> None:
        self.name, self.dim, self.options = name, dim, options
        self.part: nn.Module = build("post-processing", name, POST_PROCESSING, dim, options=options)
        self.part.eval()

    @property
    def out_dim(self) -> int:
        """Width of the results."""
        width: Any = self.part.out_dim
        return int(width)

    def __call__(self, vectors: Floats) -> Floats:
        """Map ``[n, dim]`` to ``[n, out_dim]``."""
        with torch.inference_mode():
            mapped: Floats = self.part(torch.from_numpy(np.array(vectors, np.float32))).numpy()
        return mapped

    @property
    def digest(self) -> str:
        """Hash of part, options and weights."""
        digest = sha256(repr((self.name, self.dim, sorted(self.options.items()))).encode())
        for name, value in sorted(self.part.state_dict().items()):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``post_processing.json`` and its weights."""
        write_json(folder / _FILE, {"name": self.name, "dim": self.dim, "options": dict(self.options)})
        weights = {name: value.cpu().contiguous() for name, value in self.part.state_dict().items()}
        save_file(weights, folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> "PostProcessing | None":
        """Load what ``save`` wrote; None if there is nothing.

        Raises:
            InputError: It is damaged, or a part from outside that is not allowed.
        """
        if not (folder / _FILE).is_file():
            return None
        values = read_json(folder / _FILE)
        try:
            if ":" in values["name"]:
                check_allowed("post-processing", values["name"], folder / _FILE)
            loaded = cls(values["name"], values["dim"], values["options"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder / _FILE} is damaged: {error}.") from error
        load_weights(loaded.part, folder / _WEIGHTS)
        return loaded


def fit_post_processing(name: str, vectors: Floats, options: Options) -> PostProcessing:
    """Build a part and fit it on vectors ``[n, dim]``.

    Raises:
        InputError: An unknown part or option, vectors that are not finite, or too few of them.
    """
    if vectors.ndim != 2 or not len(vectors):
        raise InputError(f"{name}: vectors have the shape {vectors.shape}; give a table [n, dim] with at least one.")
    if not np.isfinite(vectors).all():
        raise InputError(f"{name}: some of the {len(vectors):,} vectors are not finite.")
    fitted = PostProcessing(name, int(vectors.shape[1]), options)
    fit: Any = fitted.part.fit
    fit(np.array(vectors, np.float32))  # torch warns of arrays that cannot be written
    return fitted
