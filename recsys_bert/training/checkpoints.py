"""Checkpoints for exact resume."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recsys_bert.checksums import check_intact
from recsys_bert.encoder.weights import load_weights, save_tensors
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.training.averaging import WeightAverage


def save_weights(target: Path, model: nn.Module) -> None:
    """Write every parameter and persistent buffer as safetensors with a checksum, atomically."""
    with replacing(target) as temporary:
        save_tensors(temporary, model.state_dict())


def random_state() -> dict[str, Any]:
    """State of this process' random number generators (dropout)."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def save_checkpoint(
    run: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    random: Sequence[dict[str, Any]],
    average: WeightAverage | None = None,
) -> None:
    """Write ``checkpoints/step-N``, then delete older ones.

    Args:
        run: Run folder.
        model: Model whose weights are saved.
        optimiser: Optimiser whose state is saved.
        state: Plain numbers; ``state["step"]`` names the folder.
        random: ``random_state`` of every process.
        average: Weight average, if any.
    """
    folder = run / "checkpoints" / f"step-{state['step']}"
    with replacing(folder, sealed=True) as temporary:
        temporary.mkdir()
        save_weights(temporary / "model.safetensors", model)
        saved = {"optimiser": optimiser.state_dict(), "state": state, "random": list(random)}
        saved |= {"average": average.state_dict()} if average else {}
        with open(temporary / "training.pt", "wb") as file:  # torch would not say why a write failed
            torch.save(saved, file)
    partial = list((run / "checkpoints").glob(".step-*"))  # half written by a killed process
    for old in [*latest_first(run)[1:], *partial]:
        shutil.rmtree(old, ignore_errors=True)


def latest_first(run: Path) -> list[Path]:
    """List checkpoint folders of a run, latest first."""
    folders = [path for path in (run / "checkpoints").glob("step-*") if path.name[5:].isdigit()]
    return sorted(folders, key=lambda path: -int(path.name[5:]))


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None = None,
    rank: int = 0,
) -> dict[str, Any]:
    """Restore weights, their average, optimiser and random state; return the plain numbers.

    Args:
        folder: Checkpoint folder.
        model: Receives the weights.
        optimiser: Receives its state.
        average: Weight average that receives its state, if any.
        rank: Rank of this process.

    Raises:
        InputError: The checkpoint is damaged or belongs to another model.
    """
    check_intact(folder, f"delete {folder} to start from the beginning")
    try:
        load_weights(model, folder / "model.safetensors")
    except InputError as error:
        raise InputError(f"{error} To start from the beginning, delete {folder}.") from error
    try:
        saved = torch.load(folder / "training.pt", weights_only=True, map_location="cpu")
        optimiser.load_state_dict(saved["optimiser"])
        if average:
            average.load_state_dict(saved["average"])
    except Exception as error:  # unpickling a damaged file raises almost anything
        raise InputError(
            f"{folder / 'training.pt'} is damaged ({type(error).__name__}: {error}). "
            f"Delete {folder} to start from the beginning, or restore it."
        ) from error
    random = saved["random"][rank % len(saved["random"])]
    torch.set_rng_state(random["cpu"])
    if "cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(random["cuda"])
    state: dict[str, Any] = saved["state"]
    return state
