"""A trained text model in a folder: encoder, tokenizer, head, and the task's own values."""

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
from recsys_bert.checksums import check_intact
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import saved_parts
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.settings_types import check_settings

_FORMAT = "recsys_bert.text_task/2"
_NOT_HERE = ("encoder.", "auxiliary.")  # in a file of its own; of use in training only


def save_task(
    folder: Path, task: str, model: TextModel, tokenizer: Tokenizer, length: LengthConfig, **about: Any
) -> None:
    """Write everything that ``load_task`` reads, all or nothing.

    Args:
        folder: Folder to write; an earlier one is replaced.
        task: Name of the task.
        model: Its weights, and the settings of its head.
        tokenizer: The encoder's.
        length: Settings for long texts.
        about: Further plain values of the task.
    """
    parts = {"n_outputs": model.n_outputs, "head": asdict(model.head_config), "length": asdict(length)}
    save_parts(folder, task, model, model.encoder, tokenizer, parts | about)


def save_parts(
    folder: Path,
    task: str,
    model: nn.Module,
    encoder: Encoder,
    tokenizer: Tokenizer,
    about: dict[str, Any],
    also: Callable[[Path], None] | None = None,
) -> None:
    """Write what ``open_task`` and ``load_parts`` read, all or nothing.

    Args:
        folder: Folder to write; an earlier one is replaced.
        task: Name of the task.
        model: Holds the encoder as ``encoder``; its other weights go into a file of their own.
        encoder: The encoder.
        tokenizer: The encoder's.
        about: Plain values: how to build the model again, and what else the task needs.
        also: Writes more files into the folder that it is called with.
    """
    with replacing(folder, sealed=True) as temporary:
        save_text_encoder(temporary, encoder, tokenizer)
        state = {name: value for name, value in model.state_dict().items() if not name.startswith(_NOT_HERE)}
        weights = {name: value.cpu().contiguous().clone() for name, value in state.items()}
        save_file(weights, temporary / "head.safetensors")
        write_json(temporary / "task.json", {"format": _FORMAT, "task": task} | about)
        if also is not None:
            also(temporary)


def load_task(folder: Path, task: str) -> tuple[TextModel, Tokenizer, LengthConfig, dict[str, Any]]:
    """Read a folder of ``save_task``: model in evaluation mode, tokenizer, length settings, and the task's own values.

    Args:
        folder: Run folder, or the folder itself.
        task: Name that it must have been saved under.

    Raises:
        InputError: No such folder, another task's, or damaged.
    """
    folder, about = open_task(folder, task)
    try:
        for kind, name in ((HeadConfig, "head"), (LengthConfig, "length")):
            check_settings(kind, about[name], f"{folder}/task.json")
        head, length = HeadConfig(**about["head"]), LengthConfig(**about["length"])
        with saved_parts(folder):
            model = TextModel(Encoder.load(folder), head, about["n_outputs"], length.pool)
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
    load_parts(model, folder)
    return model.eval(), Tokenizer.load(folder), length, about


def open_task(folder: Path, task: str) -> tuple[Path, dict[str, Any]]:
    """Find a task's folder, and read its values as ``save_parts`` wrote them.

    Args:
        folder: Run folder, or the folder itself.
        task: Name of the task.

    Raises:
        InputError: No such folder, another task's, or one of another format.
    """
    inner, name = find_encoder(folder), _words(task)
    if not (inner / "task.json").is_file():
        raise InputError(f"{folder} holds an encoder but no trained {name} (task.json is missing).")
    about = read_json(inner / "task.json")
    if not isinstance(about, dict):
        raise InputError(f"{inner}/task.json is damaged. Train the run again.")
    if about.get("format") != _FORMAT:
        raise InputError(f"{inner} has the format {about.get('format')!r}, not {_FORMAT!r}. Train the run again.")
    if about.get("task") != task:
        raise InputError(f"{folder} holds a {_words(str(about.get('task')))}, no {name}. Give the run of a {name}.")
    check_intact(inner, "train the run again")
    return inner, about


def _words(task: str) -> str:
    return task.replace("_", " ")


def load_parts(model: nn.Module, folder: Path) -> None:
    """Read the weights of everything but the encoder, which ``Encoder.load`` reads."""
    rest = nn.ModuleDict({name: part for name, part in model.named_children() if name != "encoder"})
    load_weights(rest, folder / "head.safetensors")
