"""ELECTRA (https://arxiv.org/abs/2003.10555), discriminator or generator: BERT with narrower embeddings."""

from dataclasses import replace
from typing import Any

from recsys_bert.encoder.hugging_face.bert import BERT, bert_settings
from recsys_bert.encoder.hugging_face.family import Family, Json


def _settings(theirs: Json) -> dict[str, Any]:
    width = theirs.get("embedding_size", 128)
    return bert_settings(theirs) | {"embedding_dim": None if width == theirs["hidden_size"] else width}


ELECTRA: Family = replace(
    BERT,
    prefix="electra.",
    settings=_settings,
    embeddings={
        **BERT.embeddings,
        "projection.weight": "embeddings_project.weight",
        "projection.bias": "embeddings_project.bias",
    },
    masked_head={
        "dense": "generator_predictions.dense",
        "norm": "generator_predictions.LayerNorm",
        "bias": "generator_lm_head.bias",
    },
    masked_activation=lambda theirs: "gelu",
)
