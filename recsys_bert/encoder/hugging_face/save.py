"""Save an encoder, and a head on it, as a checkpoint that ``transformers`` opens with the same numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from recsys_bert.encoder.hugging_face import FAMILIES
from recsys_bert.encoder.hugging_face.family import Weights
from recsys_bert.encoder.hugging_face.load import swap_rows
from recsys_bert.encoder.hugging_face.save_gpt2 import gpt2_config, gpt2_weights, no_gpt2
from recsys_bert.encoder.layers.bert import BertLayer
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.files import write_json

LANGUAGE_MODEL = "LMHeadModel"
"""``CheckpointHead.model`` of a GPT-2."""

_CLASSES = {"bert": "Bert", "albert": "Albert", "electra": "Electra"}
_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu"}
_POOLERS = {"bert": "pooler.dense", "albert": "pooler"}
"""Family → the linear map before a sequence classifier, which is followed by tanh."""


@dataclass(frozen=True)
class CheckpointHead:
    """Head of a checkpoint."""

    model: str = "Model"
    """End of the class that reads it, such as ``ForTokenClassification``; ``Model`` has no head."""

    layers: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Weight and bias by their name: ``classifier``, ``qa_outputs``, or ``pooler``."""

    masked: MaskedTokenHead | None = None
    """Masked-token head, for ``ForMaskedLM``."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of ``config.json``, such as ``id2label``."""

    appended_padding: bool = False
    """``LMHeadModel``: padding is a row behind the table, which is not written; see ``Tokenizer.appended_padding``."""


def save_checkpoint(encoder: Encoder, folder: Path, head: CheckpointHead | None = None, pad_row: int = 0) -> None:
    """Write ``config.json`` and ``model.safetensors``.

    A BERT; with factorised embeddings an ELECTRA or, if the layers share their weights, an ALBERT; with the head
    ``LMHeadModel`` a GPT-2. Call its model with an attention mask. Without a head it has no pooler; transformers warns
    of that.

    Args:
        encoder: The encoder.
        folder: Folder to write.
        head: What stands on it; None: nothing.
        pad_row: Row of padding for the tokenizer there, which is row 0 here.

    Raises:
        InputError: There is no such model; the message names every reason. Nothing is written then.
    """
    head = head or CheckpointHead()
    if reasons := unsavable(encoder, head):
        raise InputError(f"transformers has no model like this, so it cannot be exported: {'; '.join(reasons)}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if head.model == LANGUAGE_MODEL:
        appended = head.appended_padding
        weights = gpt2_weights(encoder, pad_row, folder, appended=appended)
        config = gpt2_config(encoder, pad_row, appended=appended) | dict(head.config)
    else:
        kind = _kind(encoder)
        weights, config = _to_theirs(encoder, kind, head, pad_row, folder), _config(encoder, kind, head, pad_row)
    # Shared layers are written once per use; safetensors wants separate memory.
    weights = {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", config)


def unsavable(encoder: Encoder, head: CheckpointHead) -> list[str]:
    """Reasons why ``transformers`` has no such model; empty if it has."""
    if head.model == LANGUAGE_MODEL:
        return no_gpt2(encoder)
    config = encoder.config
    eps = {norm.eps for norm in encoder.modules() if isinstance(norm, torch.nn.LayerNorm)}
    checks = {
        "it has no layers (n_layers)": not config.n_layers,
        f"layer is {config.layer!r}, not 'bert'": not all(type(layer) is BertLayer for layer in encoder.layers),
        f"fusion is {config.fusion!r}, not 'last'": config.fusion != "last",
        f"neck is {config.neck!r}, not 'none'": config.neck != "none",
        f"attention is {config.attention!r}, not 'bidirectional'": config.attention != "bidirectional",
        f"position is {config.position!r}, not 'start'": config.position != "start",
        "embeddings are not normalised (embedding_norm)": not config.embedding_norm,
        "it has n-gram embeddings (ngrams)": config.ngrams > 1,
        "it has exact-match embeddings (exact_match)": config.exact_match > 0,
        "it has side features": bool(config.features),
        "it reads time gaps (time_gaps)": config.time_gaps,
        f"norms differ in norm_eps: {sorted(eps)}": len(eps) > 1,
    }
    reasons = [reason for reason, holds in checks.items() if holds]
    return reasons or _unsavable_head(encoder, head)


def _unsavable_head(encoder: Encoder, head: CheckpointHead) -> list[str]:
    kind = _kind(encoder)
    reasons = []
    if "pooler" in head.layers and kind not in _POOLERS:
        reasons.append("a sequence classifier on factorised embeddings (embedding_dim) has other layers there")
    if head.masked is not None:
        act = "gelu" if kind == "electra" else encoder.config.layer_options.get("activation", "gelu")
        if head.masked.activation_name != act:
            reasons.append(f"the masked-token head's activation is {head.masked.activation_name!r}, not {act!r}")
        if head.masked.norm_eps != encoder.config.norm_eps:
            reasons.append(f"the masked-token head's norm_eps is {head.masked.norm_eps}, the encoder's another")
    return reasons


def _kind(encoder: Encoder) -> str:
    config = encoder.config
    if config.embedding_dim is None:
        return "bert"
    return "albert" if config.share_layers else "electra"


def _config(encoder: Encoder, kind: str, head: CheckpointHead, pad_row: int) -> dict[str, Any]:
    config, layer = encoder.config, encoder.layers[0]
    assert isinstance(layer, BertLayer)
    return {
        "architectures": [f"{_CLASSES[kind]}{head.model}"],
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "embedding_size": config.embedding_dim or config.dim,
        "hidden_size": config.dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "intermediate_size": layer.ffn.up_proj.out_features,
        "hidden_act": _ACTIVATIONS[str(config.layer_options.get("activation", "gelu"))],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": layer.attention.dropout,
        "max_position_embeddings": config.max_len,
        "type_vocab_size": max(1, config.n_segments),
        "initializer_range": config.init_std,
        "layer_norm_eps": config.norm_eps,
        "pad_token_id": pad_row,
        **head.config,
    }


def _to_theirs(encoder: Encoder, kind: str, head: CheckpointHead, pad_row: int, folder: Path) -> Weights:
    family = FAMILIES[kind]
    ours = encoder.embeddings.state_dict()
    width = encoder.embeddings.token.embedding_dim
    ours.setdefault("segment.weight", torch.zeros(1, width))  # theirs always adds a segment
    ours["token.weight"] = swap_rows(ours["token.weight"], pad_row, folder)
    theirs = {b: ours[a] for a, b in family.embeddings.items() if a in ours}
    shared = "{n}" not in family.layer_path
    for n, layer in enumerate(encoder.layers if shared else encoder.layers_in_order()):
        weights, path = layer.state_dict(), family.layer_path.format(n=n)
        for end in ("weight", "bias"):
            for part, value in zip(family.qkv, weights[f"attention.qkv.{end}"].chunk(3), strict=True):
                theirs[f"{path}{part}.{end}"] = value
            theirs |= {f"{path}{b}.{end}": weights[f"{a}.{end}"] for a, b in family.layer.items()}
    prefix = "" if head.model == "Model" else family.prefix
    theirs = {f"{prefix}{name}": value for name, value in theirs.items()}
    for name, pair in head.layers.items():
        name = f"{prefix}{_POOLERS[kind]}" if name == "pooler" else name
        theirs |= {f"{name}.{end}": value for end, value in zip(("weight", "bias"), pair, strict=True)}
    if head.masked is not None:
        masked = head.masked.state_dict()
        theirs[family.masked_head["bias"]] = swap_rows(masked.pop("bias"), pad_row, folder)
        for name, value in masked.items():
            part, end = name.split(".")
            theirs[f"{family.masked_head[part]}.{end}"] = value
    return theirs
