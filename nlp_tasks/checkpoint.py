"""A trained text model in a folder: encoder, tokenizer, head, and what the task has to know."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from nlp_tasks.config import HeadConfig, LengthConfig
from nlp_tasks.encoders import find_encoder, save_text_encoder
from nlp_tasks.model import TextModel
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import Encoder, load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json

_FORMAT = "recsys_bert.text_task/1"
_NOT_HERE = ("encoder.", "auxiliary.")  # in a file of its own; of use in training only


def save_task(
    folder: Path,
    task: str,
    model: TextModel,
    tokenizer: Tokenizer,
    *,
    head: HeadConfig,
    length: LengthConfig,
    **own: Any,
) -> None:
    """Write everything that ``load_task`` reads, whole or not at all.

    Args:
        folder: Folder to write; an earlier one is replaced.
        task: Name of the task.
        model: Its weights.
        tokenizer: The encoder's.
        head: As the model was built.
        length: What happens to long texts.
        own: What else the task has to know, as plain values.
    """
    about = {"n_outputs": model.n_outputs, "head": asdict(head), "length": asdict(length)}
    save_parts(folder, task, model, model.encoder, tokenizer, about | own)


def save_parts(
    folder: Path,
    task: str,
    model: nn.Module,
    encoder: Encoder,
    tokenizer: Tokenizer,
    about: dict[str, Any],
    also: Callable[[Path], None] | None = None,
) -> None:
    """Write what ``open_task`` and ``load_parts`` read, whole or not at all.

    Args:
        folder: Folder to write; an earlier one is replaced.
        task: Name of the task.
        model: Holds the encoder as ``encoder``; its other weights go into a file of their own.
        encoder: The encoder.
        tokenizer: The encoder's.
        about: What it takes to build the model again and what else the task has to know, as plain values.
        also: Writes more files into the folder that it is given.
    """
    with replacing(folder) as aside:
        save_text_encoder(aside, encoder, tokenizer)
        state = {name: value for name, value in model.state_dict().items() if not name.startswith(_NOT_HERE)}
        save_file({name: value.cpu().contiguous().clone() for name, value in state.items()}, aside / "head.safetensors")
        write_json(aside / "task.json", {"format": _FORMAT, "task": task} | about)
        if also is not None:
            also(aside)


def load_task(folder: Path, task: str) -> tuple[TextModel, Tokenizer, LengthConfig, dict[str, Any]]:
    """Read what ``save_task`` wrote: model in evaluation mode, tokenizer, length settings, and the task's own values.

    Args:
        folder: Run folder, or the folder itself.
        task: Name that it must have been saved under.

    Raises:
        InputError: No such folder, another task's, or damaged.
    """
    folder, about = open_task(folder, task)
    try:
        head, length = HeadConfig(**about["head"]), LengthConfig(**about["length"])
        model = TextModel(Encoder.load(folder), head, about["n_outputs"], length.pool)
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
    load_parts(model, folder)
    return model.eval(), Tokenizer.load(folder), length, about


def open_task(folder: Path, task: str) -> tuple[Path, dict[str, Any]]:
    """Find a task's folder, and read what ``save_parts`` was told about it.

    Args:
        folder: Run folder, or the folder itself.
        task: Name that it must have been saved under.

    Raises:
        InputError: No such folder, or another task's.
    """
    folder = find_encoder(folder)
    if not (folder / "task.json").is_file():
        raise InputError(f"{folder} holds an encoder but no trained {task} (task.json is missing).")
    about = read_json(folder / "task.json")
    if about.get("format") != _FORMAT or about.get("task") != task:
        raise InputError(f"{folder} holds a {about.get('task')!r} model of format {about.get('format')!r}, no {task}.")
    return folder, about


def load_parts(model: nn.Module, folder: Path) -> None:
    """Read the weights of everything but the encoder, which ``Encoder.load`` reads."""
    rest = nn.ModuleDict({name: part for name, part in model.named_children() if name != "encoder"})
    load_weights(rest, folder / "head.safetensors")
