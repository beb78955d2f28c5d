"""BERT (https://arxiv.org/abs/1810.04805)."""

from typing import Any

from recsys_bert.encoder.hugging_face.family import Family, Json


def bert_settings(theirs: Json) -> dict[str, Any]:
    """Settings of a BERT and of all that are called alike; missing ones take transformers' defaults."""
    eps = theirs.get("layer_norm_eps", 1e-12)
    return {
        "vocab_size": theirs["vocab_size"],
        "dim": theirs["hidden_size"],
        "n_layers": theirs["num_hidden_layers"],
        "n_heads": theirs["num_attention_heads"],
        "max_len": theirs["max_position_embeddings"],
        "n_segments": theirs.get("type_vocab_size", 2),
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


def not_plain(theirs: Json) -> dict[str, bool]:
    """Variants of BERT with other layers."""
    return {
        "relative positions": theirs.get("position_embedding_type", "absolute") != "absolute",
        "a decoder": bool(theirs.get("is_decoder", False)),
    }


BERT = Family(
    prefix="bert.",
    settings=bert_settings,
    embeddings={
        "token.weight": "embeddings.word_embeddings.weight",
        "position.weight": "embeddings.position_embeddings.weight",
        "segment.weight": "embeddings.token_type_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    },
    layer={
        "attention.out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "ffn.up_proj": "intermediate.dense",
        "ffn.down_proj": "output.dense",
        "ffn_norm": "output.LayerNorm",
    },
    qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
    masked_head={
        "dense": "cls.predictions.transform.dense",
        "norm": "cls.predictions.transform.LayerNorm",
        "bias": "cls.predictions.bias",
    },
    masked_activation=lambda theirs: theirs.get("hidden_act", "gelu"),
    unsupported=not_plain,
)
