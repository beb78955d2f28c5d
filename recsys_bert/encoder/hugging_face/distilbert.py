"""DistilBERT (https://arxiv.org/abs/1910.01108): no segments, other names."""

from typing import Any

from recsys_bert.encoder.hugging_face.bert import bert_settings
from recsys_bert.encoder.hugging_face.family import Family, Json


def _settings(theirs: Json) -> dict[str, Any]:
    renamed = {
        "vocab_size": theirs["vocab_size"],
        "hidden_size": theirs["dim"],
        "num_hidden_layers": theirs["n_layers"],
        "num_attention_heads": theirs["n_heads"],
        "intermediate_size": theirs["hidden_dim"],
        "max_position_embeddings": theirs["max_position_embeddings"],
        "type_vocab_size": 0,
        "hidden_act": theirs.get("activation", "gelu"),
        "hidden_dropout_prob": theirs.get("dropout", 0.1),
        "attention_probs_dropout_prob": theirs.get("attention_dropout", 0.1),
        "initializer_range": theirs.get("initializer_range", 0.02),
    }
    return bert_settings(renamed)


DISTILBERT = Family(
    prefix="distilbert.",
    settings=_settings,
    embeddings={
        "token.weight": "embeddings.word_embeddings.weight",
        "position.weight": "embeddings.position_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    },
    layer={
        "attention.out": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "ffn.up_proj": "ffn.lin1",
        "ffn.down_proj": "ffn.lin2",
        "ffn_norm": "output_layer_norm",
    },
    qkv=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    layer_path="transformer.layer.{n}.",
    masked_head={"dense": "vocab_transform", "norm": "vocab_layer_norm", "bias": "vocab_projector.bias"},
    masked_activation=lambda theirs: theirs.get("activation", "gelu"),
)
