"""ALBERT (https://arxiv.org/abs/1909.11942): one layer used again and again, factorised embeddings."""

from typing import Any

from recsys_bert.encoder.hugging_face.bert import BERT, bert_settings
from recsys_bert.encoder.hugging_face.family import Family, Json


def _settings(theirs: Json) -> dict[str, Any]:
    defaults = {"hidden_act": "gelu_new", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings = bert_settings({**defaults, **theirs})
    return settings | {"embedding_dim": theirs["embedding_size"], "share_layers": settings["n_layers"] > 1}


def _groups(theirs: Json) -> dict[str, bool]:
    names = ("num_hidden_groups", "inner_group_num")
    return {f"{name} {theirs.get(name)} (only 1)": theirs.get(name, 1) != 1 for name in names}


ALBERT = Family(
    prefix="albert.",
    settings=_settings,
    embeddings={
        **BERT.embeddings,
        "projection.weight": "encoder.embedding_hidden_mapping_in.weight",
        "projection.bias": "encoder.embedding_hidden_mapping_in.bias",
    },
    layer={
        "attention.out": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "ffn.up_proj": "ffn",
        "ffn.down_proj": "ffn_output",
        "ffn_norm": "full_layer_layer_norm",
    },
    qkv=("attention.query", "attention.key", "attention.value"),
    layer_path="encoder.albert_layer_groups.0.albert_layers.0.",
    masked_head={"dense": "predictions.dense", "norm": "predictions.LayerNorm", "bias": "predictions.bias"},
    masked_activation=lambda theirs: theirs.get("hidden_act", "gelu_new"),
    unsupported=_groups,
)
