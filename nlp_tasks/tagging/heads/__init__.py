"""Tagging heads: predict entities from the vectors of a sentence's words, one paper a file.

A head is built as ``Head(dim, n_types, *, options)``. ``head(words) -> outputs`` on ``words [batch, seq, dim]``,
``head.loss(outputs, mask, entities) -> mean over words`` and ``head.decode(outputs, mask) -> entities, scores``, where
``mask`` is bool ``[batch, seq]``. Entities are ``[k, 4]``: sentence, first word, one past the last, type; scores are
probabilities ``[k]``. A head with ``mrc = True`` gets every sentence once per type, behind that type's query; one with
``nested = True`` learns and predicts nested entities; one with ``positive_unlabelled = True`` has a ``risk`` that PU
learning replaces.
"""

TAGGING_HEADS = {
    "softmax": "nlp_tasks.tagging.heads.softmax:Softmax",
    "crf": "nlp_tasks.tagging.heads.crf:CRFHead",
    "binary": "nlp_tasks.tagging.heads.binary:Binary",
    "mrc": "nlp_tasks.tagging.heads.mrc:MRC",
}
