"""RoBERTa (https://arxiv.org/abs/1907.11692) and XLM-R: BERT whose positions begin behind the padding row's number."""

from dataclasses import replace
from typing import Any

from recsys_bert.encoder.hugging_face.bert import BERT, bert_settings
from recsys_bert.encoder.hugging_face.family import Family, Json, Weights, after_padding


def _first_position(theirs: Json) -> int:
    pad = theirs.get("pad_token_id")
    return 1 + (1 if pad is None else int(pad))


def _settings(theirs: Json) -> dict[str, Any]:
    return bert_settings(theirs) | {"max_len": theirs["max_position_embeddings"] - _first_position(theirs)}


def _prepare(weights: Weights, theirs: Json) -> Weights:
    return after_padding(weights, _first_position(theirs))


ROBERTA: Family = replace(
    BERT,
    prefix="roberta.",
    settings=_settings,
    masked_head={"dense": "lm_head.dense", "norm": "lm_head.layer_norm", "bias": "lm_head.bias"},
    masked_activation=lambda theirs: "gelu",
    prepare=_prepare,
    pad_row=1,
)
