"""NER heads: what finds entities in the vectors of a sentence's units, one paper a file.

A head is built as ``Head(dim, n_types, *, options)``; ``head(units) -> outputs`` on ``units [batch, seq, dim]``,
``head.loss(outputs, mask, entities) -> mean over units`` and ``head.find(outputs, mask) -> entities, scores``, where
``mask`` is bool ``[batch, seq]``. Entities are ``[k, 4]``: sentence, first unit, one past the last, type; scores are
probabilities ``[k]``. A head with ``asks = True`` reads every sentence once a type, behind that type's question; one
with ``nested = True`` learns and finds entities within others too.
"""

NER_HEADS = {
    "softmax": "nlp_tasks.tagging.heads.softmax:Softmax",
    "crf": "nlp_tasks.tagging.heads.crf:CRFHead",
    "binary": "nlp_tasks.tagging.heads.binary:Binary",
    "reading": "nlp_tasks.tagging.heads.mrc:Reading",
}
