"""What an interrupted run needs to go on to the same numbers."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from recsys_bert.encoder.model import load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.training.averaging import WeightAverage


def save_weights(target: Path, model: nn.Module) -> None:
    """Write every parameter and persistent buffer as safetensors, whole or not at all."""
    with replacing(target) as aside:
        save_file(
            {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}, aside
        )


def random_state() -> dict[str, Any]:
    """What this process draws from, dropout above all."""
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
    """Write ``checkpoints/step-N`` and then drop the older ones.

    Args:
        run: The run's folder.
        model: Its weights are saved.
        optimiser: Its state is saved.
        state: Plain numbers; ``state["step"]`` names the folder.
        random: ``random_state`` of every process.
        average: Saved as well, where weights are averaged.
    """
    folder = run / "checkpoints" / f"step-{state['step']}"
    with replacing(folder) as aside:
        aside.mkdir()
        save_weights(aside / "model.safetensors", model)
        saved = {"optimiser": optimiser.state_dict(), "state": state, "random": list(random)}
        saved |= {"average": average.state_dict()} if average else {}
        torch.save(saved, aside / "training.pt")
    killed = list((run / "checkpoints").glob(".step-*"))  # what a killed process left half written
    for old in [*latest_first(run)[1:], *killed]:
        shutil.rmtree(old, ignore_errors=True)


def latest_first(run: Path) -> list[Path]:
    """Checkpoint folders of a run, newest first."""
    found = [path for path in (run / "checkpoints").glob("step-*") if path.name[5:].isdigit()]
    return sorted(found, key=lambda path: -int(path.name[5:]))


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None = None,
    rank: int = 0,
) -> dict[str, Any]:
    """Put weights, their average, optimiser and this process's random state back; return the plain numbers.

    Args:
        folder: The checkpoint.
        model: Takes the weights.
        optimiser: Takes its state.
        average: Takes its state, where weights are averaged.
        rank: Number of this process.

    Raises:
        InputError: The checkpoint is damaged or belongs to another model.
    """
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
    random = saved["random"]
    if isinstance(random, list):  # an older checkpoint has the state of the first process alone
        random = random[rank % len(random)]
    torch.set_rng_state(random["cpu"])
    if "cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(random["cuda"])
    state: dict[str, Any] = saved["state"]
    return state
