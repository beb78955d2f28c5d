"""MPNet (https://arxiv.org/abs/2004.09297): BERT with a relative position bias, one for all layers, and no segments."""

from typing import Any

from recsys_bert.encoder.hugging_face.bert import bert_settings
from recsys_bert.encoder.hugging_face.family import Family, Json, Weights, after_padding

_BIAS = "encoder.relative_attention_bias.weight"
_FIRST_POSITION = 2  # padding is row 1 whatever config.json says


def _settings(theirs: Json) -> dict[str, Any]:
    settings = bert_settings({**theirs, "type_vocab_size": 0})
    options = settings["layer_options"] | {"buckets": theirs.get("relative_attention_num_buckets", 32)}
    max_len = settings["max_len"] - _FIRST_POSITION
    return settings | {"layer": "relative", "layer_options": options, "max_len": max_len}


def _prepare(weights: Weights, theirs: Json) -> Weights:
    """Give every layer the bias, under the name that the table has."""
    bias = {f"encoder.layer.{n}.relative_bias.weight": weights[_BIAS] for n in range(theirs["num_hidden_layers"])}
    return after_padding({name: value for name, value in weights.items() if name != _BIAS} | bias, _FIRST_POSITION)


MPNET = Family(
    prefix="mpnet.",
    settings=_settings,
    embeddings={
        "token.weight": "embeddings.word_embeddings.weight",
        "position.weight": "embeddings.position_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    },
    layer={
        "attention.out": "attention.attn.o",
        "attention_norm": "attention.LayerNorm",
        "ffn.up_proj": "intermediate.dense",
        "ffn.down_proj": "output.dense",
        "ffn_norm": "output.LayerNorm",
    },
    layer_weights={"bias.weight": "relative_bias.weight"},
    qkv=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
    masked_head={"dense": "lm_head.dense", "norm": "lm_head.layer_norm", "bias": "lm_head.bias"},
    masked_activation=lambda theirs: "gelu",
    prepare=_prepare,
    pad_row=1,
)
