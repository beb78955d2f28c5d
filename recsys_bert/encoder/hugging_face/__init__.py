"""Hugging Face checkpoints, in (``load``) and out (``save``), with the same numbers; one family a file, one table."""

from collections.abc import Mapping

from recsys_bert.encoder.hugging_face.albert import ALBERT
from recsys_bert.encoder.hugging_face.bert import BERT
from recsys_bert.encoder.hugging_face.distilbert import DISTILBERT
from recsys_bert.encoder.hugging_face.electra import ELECTRA
from recsys_bert.encoder.hugging_face.ernie import ERNIE
from recsys_bert.encoder.hugging_face.family import Family
from recsys_bert.encoder.hugging_face.gpt2 import GPT2
from recsys_bert.encoder.hugging_face.mpnet import MPNET
from recsys_bert.encoder.hugging_face.roberta import ROBERTA

FAMILIES: Mapping[str, Family] = {
    "albert": ALBERT,
    "bert": BERT,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "ernie": ERNIE,
    "gpt2": GPT2,
    "mpnet": MPNET,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
}
"""``model_type`` of a ``config.json`` → family."""
