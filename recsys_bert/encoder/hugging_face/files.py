"""Weight files of a checkpoint folder: whole or in shards, safetensors or PyTorch's, bare or wrapped by a trainer."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from recsys_bert.encoder.weights import check_readable
from recsys_bert.errors import InputError
from recsys_bert.files import read_json

Weights = dict[str, Tensor]

_NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_NO_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler", "adapter_model", "head.")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
"""Keys under which training scripts save a model's state dict beside other things."""


def weight_files(folder: Path) -> list[Path]:
    """Files with the weights of a folder: one, or the shards that an index names; with the index.

    Raises:
        InputError: There are none, one is missing, or several could be meant.
    """
    first = next((folder / name for name in _NAMES if (folder / name).is_file()), None) or _only_other(folder)
    if first.suffix != ".json":
        return [first]
    index = read_json(first)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise InputError(f"{first} names no files of this folder. It may be damaged; fetch it again.")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise InputError(f"{folder} lacks {len(missing)} of {len(names)} files that {first.name} names: {missing[0]} …")
    return [*(folder / name for name in names), first]


def _only_other(folder: Path) -> Path:
    """The one file of another name that can hold weights."""
    if (folder / "adapter_config.json").is_file():
        raise InputError(f"{folder} holds an adapter, not a model; merge it into its model first (merge_and_unload).")
    others = [path for path in sorted(folder.glob("*")) if path.suffix in _ENDINGS]
    others = [path for path in others if not path.name.startswith(_NO_WEIGHTS)]
    if len(others) == 1:
        return others[0]
    if others:
        names = ", ".join(path.name for path in others)
        raise InputError(f"{folder} holds several files of weights: {names}. Leave one, or call it {_NAMES[0]}.")
    raise InputError(
        f"{folder} holds neither {_NAMES[0]} nor {_NAMES[2]} (nor their shards). Weights of TensorFlow or Flax are not "
        "read; convert them with transformers."
    )


def read_weights(folder: Path) -> Weights:
    """Read all floating-point weights of a folder as float32, under the names of the files.

    Raises:
        InputError: No such files, damaged ones, or ones with other things than weights.
    """
    weights: Weights = {}
    for file in weight_files(folder):
        if file.suffix != ".json":
            weights |= _read(file)
    return {name: value.float() for name, value in weights.items() if value.is_floating_point()}


def _read(file: Path) -> Weights:
    """Weights of one file; nothing but tensors and plain values is ever unpickled."""
    try:
        if file.suffix == ".safetensors":
            check_readable(file)
            return load_file(file)
        return _unwrapped(torch.load(file, "cpu", weights_only=True), file)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{file} cannot be read: it is damaged, or holds other objects beside weights, which are never loaded. "
            f"Save the weights alone: torch.save(model.state_dict(), file). ({str(error).splitlines()[0]})"
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{file} cannot be read: {error}. It may be damaged; fetch it again.") from error


def _unwrapped(saved: Any, file: Path) -> Weights:
    """State dict within what a training script saved."""
    keys: list[str] = []
    while isinstance(saved, Mapping):
        tensors = {str(name): value for name, value in saved.items() if isinstance(value, Tensor)}
        if any(name.endswith("weight") for name in tensors):
            return tensors
        keys = [str(key) for key in saved]
        saved = next((saved[key] for key in _WRAPPERS if isinstance(saved.get(key), Mapping)), None)
    content = f"holds {', '.join(keys[:8])}" if keys else f"holds a {type(saved).__name__}"
    raise InputError(f"{file} {content}, but no weights, nor any under {', '.join(_WRAPPERS)}.")
