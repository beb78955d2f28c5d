"""Load a Hugging Face checkpoint of any known family as an encoder."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.embeddings import is_zero_initialised
from recsys_bert.encoder.hugging_face import FAMILIES
from recsys_bert.encoder.hugging_face.family import ACTIVATIONS, Family, Weights
from recsys_bert.encoder.hugging_face.files import read_weights, weight_files
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.saved_sizes import saved_sizes
from recsys_bert.errors import InputError
from recsys_bert.files import read_json

_MISSING = {
    "deberta": "disentangled attention",
    "deberta-v2": "disentangled attention",
    "modernbert": "rotary positions",
    "nomic_bert": "rotary positions",
    "longformer": "sparse attention",
    "big_bird": "sparse attention",
    "t5": "an encoder beside a decoder",
    "xlnet": "two-stream attention",
}
"""What the encoder lacks for well-known families."""

_ENDS = ("weight", "bias")


def load_checkpoint(folder: Path, settings: Mapping[str, Any] | None = None, pad_row: int | None = None) -> Encoder:
    """Load a checkpoint as ``transformers`` or a training script saves it.

    Row 0 of the token table is padding here: where theirs is another, the two rows are swapped. Weights beyond
    embeddings and layers (pooler, prediction heads) are left out; their names are logged as a warning.

    Args:
        folder: ``config.json`` and weights.
        settings: Other ``EncoderConfig`` fields, such as ``fusion`` or ``neck``; those parts are newly initialised.
        pad_row: Their row of padding, by the tokenizer; None: by ``config.json``.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        InputError: No such files, damaged ones, an unknown family, or settings that the weights do not fit.
    """
    return load_with_head(folder, settings, pad_row)[0]


def load_with_head(
    folder: Path, settings: Mapping[str, Any] | None = None, pad_row: int | None = None
) -> tuple[Encoder, MaskedTokenHead | None]:
    """Load a checkpoint and its masked-token head, None if it has none; see ``load_checkpoint``."""
    folder = Path(folder)
    theirs = _read_config(folder)
    family = find_family(theirs, folder)
    config = read_checkpoint_config(folder, settings or {})
    pad = _pad_row(family, theirs) if pad_row is None else pad_row
    appended = family.appends_padding and pad == config.vocab_size
    with saved_sizes(theirs, *weight_files(folder)):
        encoder = Encoder(replace(config, vocab_size=config.vocab_size + appended))
    weights = _prepared(family, folder, theirs)
    if appended:
        weights[family.embeddings["token.weight"]] = F.pad(weights[family.embeddings["token.weight"]], (0, 0, 0, 1))
    head = _masked_head(family, weights, theirs, folder, pad)
    loaded = _to_ours(family, weights, encoder, folder)
    ours = encoder.state_dict()
    parts = ("embeddings.", "layers.", *(["norm."] if family.final_norm else []))
    needed = {name for name in ours if name.startswith(parts) and not is_zero_initialised(name)}
    if wrong := sorted(needed ^ set(loaded)):
        raise InputError(f"{folder} does not fit the settings: {', '.join(wrong)} is in only one of the two.")
    for name, value in loaded.items():
        if value.shape != ours[name].shape:
            shapes = f"{list(value.shape)} in the checkpoint, {list(ours[name].shape)} by the settings"
            raise InputError(f"{folder} does not fit the settings: {name} is {shapes}.")
    loaded["embeddings.token.weight"] = swap_rows(loaded["embeddings.token.weight"], pad, folder)
    encoder.load_state_dict(ours | loaded)
    return encoder.eval(), head


def _masked_head(
    family: Family, weights: Weights, theirs: dict[str, Any], folder: Path, pad: int
) -> MaskedTokenHead | None:
    """Take a checkpoint's masked-token head out of its weights; None if it has none over the table of its tokens."""
    if not family.masked_head:
        return None
    names = {f"{part}.{end}": f"{family.masked_head[part]}.{end}" for part in ("dense", "norm") for end in _ENDS}
    names["bias"] = family.masked_head["bias"]
    if any(name not in weights for name in names.values()):
        return None
    if not theirs.get("tie_word_embeddings", True):
        logging.getLogger(__name__).warning("%s: its masked-token head has a table of its own; it is left out", folder)
        return None
    loaded = {ours: weights.pop(name) for ours, name in names.items()}
    loaded["bias"] = swap_rows(loaded["bias"], pad, folder)
    width, dim = loaded["dense.weight"].shape
    activation = _activation(family.masked_activation(theirs), folder)
    head = MaskedTokenHead(dim, width, len(loaded["bias"]), activation, theirs.get("layer_norm_eps", 1e-12))
    try:
        head.load_state_dict(loaded)
    except RuntimeError as error:
        raise InputError(f"{folder} has a masked-token head that does not fit itself: {error}") from error
    return head.eval()


def read_checkpoint_config(folder: Path, settings: Mapping[str, Any]) -> EncoderConfig:
    """Settings of the encoder that ``load_checkpoint`` makes; see there."""
    theirs = _read_config(folder)
    family = find_family(theirs, folder)
    try:
        values = family.settings(theirs)
    except KeyError as error:
        raise InputError(f"{folder}/config.json lacks {error}; it may be damaged.") from error
    except TypeError as error:
        raise InputError(f"{folder}/config.json is damaged: {error}.") from error
    values["layer_options"]["activation"] = _activation(values["layer_options"]["activation"], folder)
    options = values["layer_options"] | settings.get("layer_options", {})
    return EncoderConfig.from_dict({**values, **settings, "layer_options": options})


def check_family(folder: Path) -> None:
    """Refuse a folder whose family is unknown; see ``find_family``."""
    find_family(_read_config(Path(folder)), Path(folder))


def _activation(name: Any, folder: Path) -> str:
    """Our name of their activation."""
    if name not in ACTIVATIONS:
        raise InputError(f"{folder} has the activation {name!r}; known: {', '.join(sorted(ACTIVATIONS))}.")
    return ACTIVATIONS[name]


def find_family(theirs: dict[str, Any], folder: Path) -> Family:
    """Family of a ``config.json``: by ``model_type``, else by the class that saved it, else BERT.

    Raises:
        InputError: It is unknown, or a variant that the encoder lacks the parts for.
    """
    kind = theirs.get("model_type") or _kind_of_class(theirs.get("architectures"))
    if kind not in FAMILIES:
        lacks = f", which needs {_MISSING[kind]}" if kind in _MISSING else ""
        raise InputError(
            f"{folder}/config.json describes a model of type {kind!r}{lacks}; {', '.join(FAMILIES)} can be loaded."
        )
    family = FAMILIES[kind]
    if reasons := [reason for reason, holds in family.unsupported(theirs).items() if holds]:
        raise InputError(f"{folder} is a model of type {kind!r} with {' and '.join(reasons)}, which cannot be loaded.")
    return family


def _kind_of_class(architectures: Any) -> str:
    """Type of model from a class name such as ``BertForMaskedLM``."""
    name = str(architectures[0]).lower() if isinstance(architectures, list) and architectures else "bert"
    kinds = sorted(FAMILIES, key=len, reverse=True)
    return next((kind for kind in kinds if name.startswith(kind.replace("-", ""))), name)


def _read_config(folder: Path) -> dict[str, Any]:
    values = read_json(folder / "config.json")
    if not isinstance(values, dict):
        raise InputError(f"{folder}/config.json is a {type(values).__name__}, not an object; it may be damaged.")
    return values


def _pad_row(family: Family, theirs: dict[str, Any]) -> int:
    if family.appends_padding:  # what they call padding is often the token that ends a text
        return int(theirs["vocab_size"])
    pad = theirs.get("pad_token_id")
    return family.pad_row if pad is None else int(pad)


def swap_rows(table: torch.Tensor, pad: int, folder: Path) -> torch.Tensor:
    """Swap row 0 of a table with the row of padding.

    Raises:
        InputError: There is no such row.
    """
    if not 0 <= pad < len(table):
        raise InputError(f"{folder} has padding in row {pad}, but its token table has {len(table)} rows.")
    order = torch.arange(len(table))
    order[0], order[pad] = pad, 0
    return table[order] if pad else table


def _prepared(family: Family, folder: Path, theirs: dict[str, Any]) -> Weights:
    """Weights as the family's tables name them."""
    try:
        return family.prepare(_without_prefix(family, read_weights(folder), folder), theirs)
    except KeyError as error:
        raise InputError(f"{folder} lacks {error}; it does not fit its config.json.") from error


def _without_prefix(family: Family, weights: Weights, folder: Path) -> Weights:
    """Cut off what wrappers (``module.``) and models with a head (``bert.``) put before the encoder's names."""
    weights = {_current_name(name): value for name, value in weights.items()}
    table = family.embeddings["token.weight"]
    before = [name.removesuffix(table) for name in weights if name == table or name.endswith(f".{table}")]
    if len(before) > 1:
        raise InputError(f"{folder} holds several encoders: {', '.join(sorted(before))}. Save the one to load alone.")
    if not before:
        raise InputError(f"{folder} lacks the weight {table!r}; it does not fit its config.json.")
    outer = before[0].removesuffix(family.prefix)
    return {name.removeprefix(outer).removeprefix(family.prefix): value for name, value in weights.items()}


def _current_name(name: str) -> str:
    """Rename gamma and beta of old checkpoints to weight and bias."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _to_ours(family: Family, theirs: Weights, encoder: Encoder, folder: Path) -> Weights:
    left = dict(theirs)
    ours = {f"embeddings.{a}": left.pop(b) for a, b in family.embeddings.items() if b in left}
    n_layers = encoder.config.n_layers if "{n}" in family.layer_path else 1
    try:
        for n in range(n_layers):
            path = family.layer_path.format(n=n)
            for end in _ENDS:
                qkv = [left.pop(f"{path}{part}.{end}") for part in family.qkv]
                ours[f"layers.{n}.attention.qkv.{end}"] = torch.cat(qkv)
                for a, b in family.layer.items():
                    ours[f"layers.{n}.{a}.{end}"] = left.pop(f"{path}{b}.{end}")
            for a, b in family.layer_weights.items():
                ours[f"layers.{n}.{a}"] = left.pop(f"{path}{b}")
        if family.final_norm:
            ours |= {f"norm.{end}": left.pop(f"{family.final_norm}.{end}") for end in _ENDS}
    except KeyError as error:
        raise InputError(f"{folder} lacks the weight {error}; it does not fit its config.json.") from error
    if left:
        logging.getLogger(__name__).warning(
            "%s: %d weights have no place in the encoder: %s", folder, len(left), ", ".join(sorted(left))
        )
    return ours
