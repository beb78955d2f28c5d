"""ERNIE 1 to 3 (https://arxiv.org/abs/1904.09223): BERT, from version 2 on with an embedding of the task."""

from dataclasses import replace

from recsys_bert.encoder.hugging_face.bert import BERT
from recsys_bert.encoder.hugging_face.family import Family, Json, Weights


def _prepare(weights: Weights, theirs: Json) -> Weights:
    """Add the embedding of task 0, which transformers takes where none is named, to every segment."""
    tasks, segments = "embeddings.task_type_embeddings.weight", "embeddings.token_type_embeddings.weight"
    if not theirs.get("use_task_id", False) or tasks not in weights or segments not in weights:
        return weights
    rest = {name: value for name, value in weights.items() if name != tasks}
    return rest | {segments: weights[segments] + weights[tasks][0]}


ERNIE: Family = replace(BERT, prefix="ernie.", prepare=_prepare)
