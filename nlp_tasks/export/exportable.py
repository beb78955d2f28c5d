"""A trained model as an exporter sees it, and the export itself."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.hugging_face.save import CheckpointHead
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.files import replacing

Target = Literal["transformers", "sentence-transformers", "onnx"]

Read = Callable[[EncoderOutput], Tensor]
"""Outputs of a batch by the encoder's."""


@dataclass(frozen=True)
class Exportable:
    """A trained model."""

    what: str
    """Kind of model, for messages."""

    encoder: Encoder
    """The encoder."""

    tokenizer: Tokenizer
    """Its tokenizer."""

    max_len: int
    """Longest input in tokens."""

    checkpoint: CheckpointHead | str
    """Head that transformers has; or the reason why it has none."""

    pooling: tuple[nn.Module, bool] | str
    """Head that pools a text's states, and whether vectors are normalised; or the reason why there are none."""

    outputs: Read | str
    """Outputs as ONNX has them: ``logits`` or ``vectors``; or the reason why there are none."""

    model: nn.Module
    """Holds encoder and head; put into evaluation mode."""

    after_pooling: nn.Linear | str | None = None
    """Linear layer between pooling and normalisation; or the reason why other libraries have none like it."""

    about: Mapping[str, Any] = field(default_factory=dict)
    """What the outputs mean, such as ``labels``."""

    scorer: bool = False
    """True for a cross-encoder, which sentence-transformers opens as transformers does."""


def export(exportable: Exportable, folder: Path | str, to: Target) -> Path:
    """Write a folder that another library opens, all or nothing.

    Args:
        exportable: The model.
        folder: Folder to write; it must not be there, or be empty.
        to: ``transformers``, ``sentence-transformers`` or ``onnx``.

    Returns:
        The folder.

    Raises:
        InputError: The other side has no such model; the message names every reason. Nothing is written then.
    """
    modules = {
        "transformers": "nlp_tasks.export.checkpoint",
        "sentence-transformers": "nlp_tasks.export.sentence_transformers",
        "onnx": "nlp_tasks.export.onnx",
    }
    if to not in modules:
        raise InputError(f"to is {to!r}; it must be one of {', '.join(modules)}.")
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty. Choose another folder, or remove it.")
    exportable.model.eval()
    target: Any = importlib.import_module(modules[to])
    target.check(exportable)
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True, exist_ok=True)
        target.write(exportable, temporary)
    return folder


def save_tokenizer(exportable: Exportable, folder: Path) -> None:
    """Write the tokenizer with ``model_max_length``, and without segments where the encoder tells none apart."""
    names = ["input_ids", "attention_mask"]
    names += ["token_type_ids"] if exportable.encoder.config.n_segments > 1 else []
    exportable.tokenizer.save(folder, exportable.max_len, {"model_input_names": names})
