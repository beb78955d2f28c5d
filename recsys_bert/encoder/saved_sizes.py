"""Sizes in a saved model's settings, against its weight file: a stranger's neither hang nor fill the memory."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from recsys_bert.errors import InputError

_ALWAYS = 1_000_000  # allowed of any size, as for positions, which may need no weights
_FEW_LAYERS, _SHARED_LAYERS = 100, 1_000  # allowed of any size; where they may use one set of weights
_LAYER_BYTES = 512  # that a layer takes at least in a file that is no safetensors


@contextlib.contextmanager
def saved_sizes(values: Any, *files: Path) -> Iterator[None]:
    """Refuse sizes that weight files cannot hold, before and while a model is built from its settings.

    Args:
        values: The settings, as read from JSON.
        files: The weight files; missing ones are the business of whoever reads them.

    Raises:
        InputError: A size is larger than the file, or the model needs more memory than there is.
    """
    if all(file.is_file() for file in files):
        check_sizes(values, *files)
    try:
        yield
    except MemoryError as error:
        raise InputError(f"{files[0]}: its config.json asks for more memory than there is.") from error
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise InputError(
            f"{files[0]}: the model of its config.json needs more memory than there is: {error}"
        ) from error


def check_sizes(values: Any, *files: Path) -> None:
    """Refuse settings with a size that the weight files cannot hold.

    Raises:
        InputError: There is one.
    """
    size = sum(file.stat().st_size for file in files)  # no tensor has more numbers than bytes
    layers = max(sum(map(_tensors, files)), _SHARED_LAYERS if _shares(values) else _FEW_LAYERS)
    for name, number in _integers(values):
        most = layers if name.endswith("layers") else max(size, _ALWAYS)
        if number > most:
            raise InputError(
                f"config.json says {name} = {number:,}, which the {size:,} bytes of {files[0]} cannot hold. One of "
                "them is damaged, or of another model."
            )
    if isinstance(values, Mapping) and (dim := values.get("dim")) and isinstance(dim, int):
        width, rows = values.get("embedding_dim") or dim, values.get("vocab_size") or 0
        if dim * dim * bool(values.get("n_layers")) > size or _product(width, rows) > size:
            raise InputError(
                f"config.json says dim = {dim:,} and vocab_size = {rows:,}, which the {size:,} bytes of {files[0]} "
                "cannot hold. One of them is damaged, or of another model."
            )


def _product(*sizes: Any) -> int:
    """Product of sizes; 0 where one is no integer, which is refused elsewhere."""
    return sizes[0] * sizes[1] if all(isinstance(size, int) for size in sizes) else 0


def _tensors(file: Path) -> int:
    """Tensors in a file, or the most that it has room for."""
    if file.suffix != ".safetensors":
        return file.stat().st_size // _LAYER_BYTES
    try:
        with safe_open(file, "pt") as weights:
            return len(list(weights.keys()))
    except (SafetensorError, OSError):  # refused, with its reason, when it is read
        return file.stat().st_size // _LAYER_BYTES


def _shares(values: Any) -> bool:
    """True where layers share weights: our setting, or that of ALBERT."""
    return isinstance(values, Mapping) and bool(values.get("share_layers") or "num_hidden_groups" in values)


def _integers(values: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """Yield every integer of nested settings with the name that it stands under, seeds left out."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _integers(value, str(key))
    elif isinstance(values, list):
        for value in values:
            yield from _integers(value, name)
    elif isinstance(values, int) and not isinstance(values, bool) and "seed" not in name:
        yield name, values
