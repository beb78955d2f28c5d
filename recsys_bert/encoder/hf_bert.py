"""Hugging Face BERT checkpoints, in and out, with the same numbers."""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.embeddings import is_zero_initialised
from recsys_bert.encoder.feed_forward import ACTIVATIONS
from recsys_bert.encoder.layers.bert import BertLayer
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

Weights = dict[str, Tensor]

EMBEDDINGS = {
    "token.weight": "word_embeddings.weight",
    "position.weight": "position_embeddings.weight",
    "segment.weight": "token_type_embeddings.weight",
    "norm.weight": "LayerNorm.weight",
    "norm.bias": "LayerNorm.bias",
}
"""Ours → theirs, below ``embeddings.``."""

LAYER = {
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "ffn.up_proj": "intermediate.dense",
    "ffn.down_proj": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
"""Ours → theirs, below ``layers.n.`` and ``encoder.layer.n.``; each with weight and bias."""

QKV = ("query", "key", "value")
"""Linear maps of theirs, below ``attention.self.``; one ``qkv`` here."""


def load_bert(folder: Path, settings: Mapping[str, Any] | None = None) -> Encoder:
    """Load a BERT checkpoint as ``transformers`` saves it.

    Weights beyond embeddings and layers (pooler, prediction heads) are left out; their names are logged as a warning.

    Args:
        folder: ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.
        settings: Other ``EncoderConfig`` fields, such as ``fusion`` or ``neck``; those parts are newly initialised.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        InputError: No such files, damaged ones, another kind of model, or settings that the weights do not fit.
    """
    folder = Path(folder)
    theirs = _read_weights(folder)
    encoder = Encoder(read_bert_config(folder, settings or {}))
    ours = encoder.state_dict()
    loaded = _to_ours(theirs, encoder.config.n_layers, folder)
    needed = {name for name in ours if name.startswith(("embeddings.", "layers.")) and not is_zero_initialised(name)}
    if wrong := sorted(needed ^ set(loaded)):
        raise InputError(f"{folder} does not fit the settings: {', '.join(wrong)} is in only one of the two.")
    for name, value in loaded.items():
        if value.shape != ours[name].shape:
            shapes = f"{list(value.shape)} in the checkpoint, {list(ours[name].shape)} by the settings"
            raise InputError(f"{folder} does not fit the settings: {name} is {shapes}.")
    encoder.load_state_dict(ours | loaded)
    return encoder.eval()


def save_bert(encoder: Encoder, folder: Path) -> None:
    """Write an encoder as a BERT folder that ``transformers.AutoModel`` opens, with the same numbers.

    It has no pooler; transformers warns of that. Call its model with ``attention_mask=tokens != 0``.

    Raises:
        InputError: The encoder is not a plain BERT; the message names every reason.
    """
    if reasons := _not_bert(encoder):
        raise InputError(f"this encoder is no plain BERT and cannot be exported: {'; '.join(reasons)}.")
    layer = encoder.layers[0]
    assert isinstance(layer, BertLayer)
    config = encoder.config
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_to_theirs(encoder), folder / "model.safetensors", metadata={"format": "pt"})
    values = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "intermediate_size": layer.ffn.up_proj.out_features,
        "hidden_act": config.layer_options.get("activation", "gelu"),
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": layer.attention.dropout,
        "max_position_embeddings": config.max_len,
        "type_vocab_size": max(1, config.n_segments),
        "initializer_range": config.init_std,
        "layer_norm_eps": config.norm_eps,
        "pad_token_id": 0,
    }
    write_json(folder / "config.json", values)


def read_bert_config(folder: Path, settings: Mapping[str, Any]) -> EncoderConfig:
    """Settings of the encoder that ``load_bert`` makes; see there."""
    theirs = read_json(folder / "config.json")
    kind = theirs.get("model_type") if isinstance(theirs, dict) else None
    if kind != "bert":
        raise InputError(f"{folder}/config.json describes a model of type {kind!r}; only 'bert' can be loaded.")
    if theirs.get("position_embedding_type", "absolute") != "absolute" or theirs.get("is_decoder", False):
        raise InputError(f"{folder} is a BERT with relative positions or a decoder; only the plain one can be loaded.")
    act = theirs.get("hidden_act", "gelu")
    if act not in ACTIVATIONS:
        raise InputError(f"{folder} has the activation {act!r}; known: {', '.join(sorted(ACTIVATIONS))}.")
    try:
        values = _translate(theirs)
    except KeyError as error:
        raise InputError(f"{folder}/config.json lacks {error}; it may be damaged.") from error
    options = values["layer_options"] | settings.get("layer_options", {})
    return EncoderConfig.from_dict({**values, **settings, "layer_options": options})


def _translate(theirs: dict[str, Any]) -> dict[str, Any]:
    """Our settings from their ``config.json``; missing keys take transformers' defaults."""
    eps = theirs.get("layer_norm_eps", 1e-12)
    return {
        "vocab_size": theirs["vocab_size"],
        "dim": theirs["hidden_size"],
        "n_layers": theirs["num_hidden_layers"],
        "n_heads": theirs["num_attention_heads"],
        "max_len": theirs["max_position_embeddings"],
        "n_segments": theirs["type_vocab_size"],
        "dropout": theirs.get("hidden_dropout_prob", 0.1),
        "init_std": theirs.get("initializer_range", 0.02),
        "norm_eps": eps,
        "layer": "bert",
        "position": "start",
        "embedding_norm": True,
        "layer_options": {
            "ffn_dim": theirs["intermediate_size"],
            "activation": theirs.get("hidden_act", "gelu"),
            "attention_dropout": theirs.get("attention_probs_dropout_prob", 0.1),
            "norm_eps": eps,
        },
    }


def _read_weights(folder: Path) -> Weights:
    """Read all weights as float32 under current names, without the ``bert.`` prefix of models with a head."""
    file = folder / "model.safetensors"
    if not file.exists():
        file = folder / "pytorch_model.bin"
    if not file.exists():
        raise InputError(f"{folder} holds neither model.safetensors nor pytorch_model.bin.")
    try:
        weights = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}. It may be damaged; fetch it again.") from error
    return {_current_name(name): value.float() for name, value in weights.items() if value.is_floating_point()}


def _current_name(name: str) -> str:
    """Rename gamma and beta of old checkpoints to weight and bias."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _to_ours(theirs: Weights, n_layers: int, folder: Path) -> Weights:
    left = dict(theirs)
    try:
        ours = {f"embeddings.{a}": left.pop(f"embeddings.{b}") for a, b in EMBEDDINGS.items()}
        for n in range(n_layers):
            for end in ("weight", "bias"):
                qkv = [left.pop(f"encoder.layer.{n}.attention.self.{part}.{end}") for part in QKV]
                ours[f"layers.{n}.attention.qkv.{end}"] = torch.cat(qkv)
                for a, b in LAYER.items():
                    ours[f"layers.{n}.{a}.{end}"] = left.pop(f"encoder.layer.{n}.{b}.{end}")
    except KeyError as error:
        raise InputError(f"{folder} lacks the weight {error}; it does not fit its config.json.") from error
    if left:
        logging.getLogger(__name__).warning(
            "%s: %d weights have no place in the encoder: %s", folder, len(left), ", ".join(sorted(left))
        )
    return ours


def _to_theirs(encoder: Encoder) -> Weights:
    ours = encoder.embeddings.state_dict()
    ours.setdefault("segment.weight", torch.zeros(1, encoder.config.dim))  # theirs always adds a segment
    theirs = {f"embeddings.{b}": ours[a] for a, b in EMBEDDINGS.items()}
    for n, layer in enumerate(encoder.layers_in_order()):
        weights = layer.state_dict()
        for end in ("weight", "bias"):
            for part, value in zip(QKV, weights[f"attention.qkv.{end}"].chunk(3), strict=True):
                theirs[f"encoder.layer.{n}.attention.self.{part}.{end}"] = value
            for a, b in LAYER.items():
                theirs[f"encoder.layer.{n}.{b}.{end}"] = weights[f"{a}.{end}"]
    # Shared layers are written once per use; safetensors wants separate memory.
    return {name: value.detach().clone() for name, value in theirs.items()}


def _not_bert(encoder: Encoder) -> list[str]:
    config = encoder.config
    eps = {norm.eps for norm in encoder.modules() if isinstance(norm, torch.nn.LayerNorm)}
    checks = {
        f"layer is {config.layer!r}, not 'bert'": not all(type(layer) is BertLayer for layer in encoder.layers),
        f"fusion is {config.fusion!r}, not 'last'": config.fusion != "last",
        f"neck is {config.neck!r}, not 'none'": config.neck != "none",
        "it is causal": config.causal,
        f"position is {config.position!r}, not 'start'": config.position != "start",
        "embeddings are not normalised (embedding_norm)": not config.embedding_norm,
        "embeddings are factorised (embedding_dim)": config.embedding_dim is not None,
        "it has n-gram embeddings (ngrams)": config.ngrams > 1,
        "it has exact-match embeddings (exact_match)": config.exact_match > 0,
        "it has side features": bool(config.features),
        "it reads time gaps (time_gaps)": config.time_gaps,
        f"norms differ in norm_eps: {sorted(eps)}": len(eps) > 1,
    }
    return [reason for reason, holds in checks.items() if holds]
