"""GPT-2 (https://openai.com/index/better-language-models): causal pre-norm layers with a norm at the end."""

from typing import Any

import torch

from recsys_bert.encoder.hugging_face.family import Family, Json, Weights

_TRANSPOSED = ("attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def _settings(theirs: Json) -> dict[str, Any]:
    eps = theirs.get("layer_norm_epsilon", 1e-5)
    return {
        "vocab_size": theirs["vocab_size"],
        "dim": theirs["n_embd"],
        "n_layers": theirs["n_layer"],
        "n_heads": theirs["n_head"],
        "max_len": theirs["n_positions"],
        "dropout": theirs.get("resid_pdrop", 0.1),
        "init_std": theirs.get("initializer_range", 0.02),
        "norm_eps": eps,
        "layer": "pre_norm",
        "attention": "causal",
        "position": "start",
        "n_segments": 0,
        "layer_options": {
            "ffn_dim": theirs.get("n_inner") or 4 * theirs["n_embd"],
            "activation": theirs.get("activation_function", "gelu_new"),
            "attention_dropout": theirs.get("attn_pdrop", 0.1),
            "norm_eps": eps,
        },
    }


def _prepare(weights: Weights, theirs: Json) -> Weights:
    """Turn their transposed linear maps, and cut the one of query, key and value into three."""
    table = weights["wte.weight"]
    weights = {name: value for name, value in weights.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
    if (output := weights.get("lm_head.weight")) is not None and torch.equal(output, table):
        del weights["lm_head.weight"]  # tied, so it is here too
    prepared: Weights = {}
    for name, value in weights.items():
        path, _, end = name.rpartition(".")
        if path.endswith("attn.c_attn"):
            parts = value.T.chunk(3) if end == "weight" else value.chunk(3)
            prepared |= {f"{path}.{part}.{end}": piece for part, piece in zip("qkv", parts, strict=True)}
        else:
            prepared[name] = value.T if end == "weight" and path.endswith(_TRANSPOSED) else value
    return prepared


def _unsupported(theirs: Json) -> dict[str, bool]:
    return {
        "scores that are not divided by the root of the width": not theirs.get("scale_attn_weights", True),
        "scores that are divided by the layer's number": bool(theirs.get("scale_attn_by_inverse_layer_idx", False)),
        "cross-attention": bool(theirs.get("add_cross_attention", False)),
        "an output table of its own": not theirs.get("tie_word_embeddings", True),
    }


GPT2 = Family(
    prefix="transformer.",
    settings=_settings,
    embeddings={"token.weight": "wte.weight", "position.weight": "wpe.weight"},
    layer={
        "attention_norm": "ln_1",
        "attention.out": "attn.c_proj",
        "ffn_norm": "ln_2",
        "ffn.up_proj": "mlp.c_fc",
        "ffn.down_proj": "mlp.c_proj",
    },
    qkv=("attn.c_attn.q", "attn.c_attn.k", "attn.c_attn.v"),
    layer_path="h.{n}.",
    final_norm="ln_f",
    appends_padding=True,
    masked_head={},
    masked_activation=lambda theirs: "gelu",
    prepare=_prepare,
    unsupported=_unsupported,
)


def to_theirs(weights: Weights) -> Weights:
    """Undo ``_prepare``."""
    theirs: Weights = {}
    for name, value in weights.items():
        path, _, end = name.rpartition(".")
        if path.endswith("attn.c_attn.q"):
            pieces = [weights[f"{path[:-1]}{part}.{end}"] for part in "qkv"]
            joined = torch.cat(pieces)
            theirs[f"{path[:-2]}.{end}"] = joined.T if end == "weight" else joined
        elif "attn.c_attn." not in name:
            theirs[name] = value.T if end == "weight" and path.endswith(_TRANSPOSED) else value
    return theirs
