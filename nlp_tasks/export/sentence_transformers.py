"""Export to sentence-transformers: encoder, pooling and normalisation in a folder that it opens."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from nlp_tasks.export import checkpoint
from nlp_tasks.export.exportable import Exportable, save_tokenizer
from nlp_tasks.heads.dense import Dense
from nlp_tasks.heads.first import First
from nlp_tasks.heads.maximum import Maximum
from nlp_tasks.heads.mean import Mean
from recsys_bert.encoder.hugging_face.save import CheckpointHead, save_checkpoint, unsavable
from recsys_bert.errors import InputError
from recsys_bert.files import write_json

_MODES: dict[type[nn.Module], str] = {First: "cls", Maximum: "max", Mean: "mean"}
_TYPES = "sentence_transformers.models"


def check(exportable: Exportable) -> None:
    """Refuse what sentence-transformers has no modules for.

    Raises:
        InputError: The message names every reason.
    """
    if exportable.scorer:
        return checkpoint.check(exportable)
    reasons = unsavable(exportable.encoder, CheckpointHead())
    if isinstance(exportable.pooling, str):
        reasons.append(exportable.pooling)
    elif _parts(exportable.pooling[0]) is None:
        reasons.append(
            f"its head is {type(exportable.pooling[0]).__name__}; first, max, mean and dense can be exported"
        )
    if isinstance(exportable.after_pooling, str):
        reasons.append(exportable.after_pooling)
    if reasons:
        raise InputError(f"sentence-transformers has no model like this {exportable.what}: {'; '.join(reasons)}.")
    return None


def write(exportable: Exportable, folder: Path) -> None:
    """Write the folder."""
    if exportable.scorer:
        return checkpoint.write(exportable, folder)
    assert not isinstance(exportable.pooling, str)
    head, normalise = exportable.pooling
    parts = _parts(head)
    assert parts is not None
    mode, linear, activation = parts
    save_checkpoint(exportable.encoder, folder, None, exportable.tokenizer.pad_row)
    save_tokenizer(exportable, folder)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": exportable.max_len, "do_lower_case": False})
    layers = [] if linear is None else [(linear, activation)]
    assert not isinstance(exportable.after_pooling, str)
    layers += [] if exportable.after_pooling is None else [(exportable.after_pooling, nn.Identity())]
    modules = ["Transformer", "Pooling", *["Dense"] * len(layers)]
    modules += ["Normalize"] if normalise else []
    paths = ["", *(f"{n}_{kind}" for n, kind in enumerate(modules[1:], 1))]
    for path in paths[1:]:
        (folder / path).mkdir()
    write_json(folder / paths[1] / "config.json", _pooling_config(exportable.encoder.out_dim, mode))
    for path, (layer, function) in zip(paths[2:], layers, strict=False):
        _write_dense(folder / path, layer, function)
    listed = [
        {"idx": n, "name": str(n), "path": path, "type": f"{_TYPES}.{kind}"}
        for n, (kind, path) in enumerate(zip(modules, paths, strict=True))
    ]
    write_json(folder / "modules.json", listed)
    return None


def _parts(head: nn.Module) -> tuple[str, nn.Linear | None, nn.Module] | None:
    """Pooling, linear layer and activation of a head; None where there is no counterpart."""
    if isinstance(head, Dense):
        return _MODES[type(head.pooling)], head.linear, head.activation
    if isinstance(head, First) and isinstance(head.pooler, nn.Sequential):
        linear = head.pooler[0]
        assert isinstance(linear, nn.Linear)
        return "cls", linear, head.pooler[1]
    return (_MODES[type(head)], None, nn.Identity()) if type(head) in _MODES else None


def _pooling_config(dim: int, mode: str) -> dict[str, Any]:
    """Settings that older and newer versions read alike."""
    flags = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max", "mean_sqrt_len_tokens": ""}
    return {"word_embedding_dimension": dim, **{f"pooling_mode_{name}": mode == one for name, one in flags.items()}}


def _write_dense(folder: Path, linear: nn.Linear, activation: nn.Module) -> None:
    values = {
        "in_features": linear.in_features,
        "out_features": linear.out_features,
        "bias": linear.bias is not None,
        "activation_function": f"{type(activation).__module__}.{type(activation).__name__}",
    }
    write_json(folder / "config.json", values)
    weights = {f"linear.{name}": value.detach().cpu().contiguous() for name, value in linear.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt", "torch": torch.__version__})
