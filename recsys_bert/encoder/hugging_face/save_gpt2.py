"""Save a causal encoder as a GPT-2 that ``transformers`` opens with the same logits."""

from pathlib import Path
from typing import Any

import torch

from recsys_bert.encoder.hugging_face.family import Weights
from recsys_bert.encoder.hugging_face.gpt2 import GPT2, to_theirs
from recsys_bert.encoder.hugging_face.load import swap_rows
from recsys_bert.encoder.layers.pre_norm import PreNormLayer
from recsys_bert.encoder.model import Encoder

_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu"}


def no_gpt2(encoder: Encoder) -> list[str]:
    """Reasons why the encoder is no GPT-2; empty if it is."""
    config = encoder.config
    eps = {norm.eps for norm in encoder.modules() if isinstance(norm, torch.nn.LayerNorm)}
    checks = {
        "it has no layers (n_layers)": not config.n_layers,
        f"layer is {config.layer!r}, not 'pre_norm'": not all(type(layer) is PreNormLayer for layer in encoder.layers),
        f"attention is {config.attention!r}, not 'causal'": config.attention != "causal",
        f"fusion is {config.fusion!r}, not 'last'": config.fusion != "last",
        f"neck is {config.neck!r}, not 'none'": config.neck != "none",
        f"position is {config.position!r}, not 'start'": config.position != "start",
        "embeddings are normalised (embedding_norm)": config.embedding_norm,
        "embedding tables are factorised (embedding_dim)": config.embedding_dim is not None,
        "it has n-gram embeddings (ngrams)": config.ngrams > 1,
        "it has side features": bool(config.features),
        "it reads time gaps (time_gaps)": config.time_gaps,
        f"norms differ in norm_eps: {sorted(eps)}": len(eps) > 1,
    }
    return [reason for reason, holds in checks.items() if holds]


def gpt2_config(encoder: Encoder, pad_row: int, *, appended: bool) -> dict[str, Any]:
    """Contents of ``config.json``; see ``gpt2_weights``."""
    config, layer = encoder.config, encoder.layers[0]
    assert isinstance(layer, PreNormLayer)
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size - appended,
        "n_positions": config.max_len,
        "n_embd": config.dim,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": layer.ffn.up_proj.out_features,
        "activation_function": _ACTIVATIONS[str(config.layer_options.get("activation", "gelu"))],
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": layer.attention.dropout,
        "initializer_range": config.init_std,
        "layer_norm_epsilon": config.norm_eps,
        "tie_word_embeddings": True,
        **({} if appended else {"pad_token_id": pad_row}),
    }


def gpt2_weights(encoder: Encoder, pad_row: int, folder: Path, *, appended: bool) -> Weights:
    """Weights as GPT2LMHeadModel names them.

    Args:
        encoder: The encoder; a first segment is added to all tokens, since what a language model reads has one.
        pad_row: Row of padding there.
        folder: For messages.
        appended: Padding is a row behind their table, which is dropped.
    """
    ours = encoder.embeddings.state_dict()
    table = swap_rows(ours["token.weight"], pad_row, folder)
    weights = {"wte.weight": table[:-1] if appended else table, "wpe.weight": ours["position.weight"]}
    if "segment.weight" in ours:
        weights["wpe.weight"] = weights["wpe.weight"] + ours["segment.weight"][0]
    for n, layer in enumerate(encoder.layers_in_order()):
        state, path = layer.state_dict(), GPT2.layer_path.format(n=n)
        for end in ("weight", "bias"):
            for part, value in zip(GPT2.qkv, state[f"attention.qkv.{end}"].chunk(3), strict=True):
                weights[f"{path}{part}.{end}"] = value
            weights |= {f"{path}{b}.{end}": state[f"{a}.{end}"] for a, b in GPT2.layer.items()}
    weights |= {f"ln_f.{end}": encoder.norm.state_dict()[end] for end in ("weight", "bias")}
    return {f"{GPT2.prefix}{name}": value for name, value in to_theirs(weights).items()}
