"""Tensors in a safetensors file, with a checksum in its metadata where the file stands alone."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from recsys_bert.errors import InputError


def save_tensors(target: Path, tensors: Mapping[str, Tensor], **about: str) -> None:
    """Write tensors and text values with their checksum."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(plain, target, metadata={**about, "sha256": _digest(plain, about)})


def load_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and text values; those that ``save_tensors`` wrote must be unchanged.

    Raises:
        InputError: They were changed.
        SafetensorError, OSError: The file cannot be read.
    """
    check_readable(file)
    with safe_open(file, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        about = dict(opened.metadata() or {})
    digest = about.pop("sha256", None)
    if digest is not None and digest != _digest(tensors, about):
        raise InputError(f"{file} is damaged: its contents do not fit the checksum in it. Restore it, or train again.")
    return tensors, about


def load_weights(module: nn.Module, file: Path) -> None:
    """Load exactly the weights of ``module`` from a safetensors file.

    Raises:
        InputError: The file is missing, damaged, or of another model.
    """
    try:
        module.load_state_dict(load_tensors(file)[0])
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist.") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be read: {error}. It may be damaged; train again.") from error
    except RuntimeError as error:
        raise InputError(f"{file} does not fit its config.json: {error}") from error


def check_readable(file: Path) -> None:
    """Let a file that may not be opened say so: safetensors says of any that it does not exist.

    Raises:
        OSError: It cannot be opened.
    """
    with open(file, "rb"):
        pass


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(about.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
