"""Pretraining objectives on the fields of impressions, one a file; no label is read.

An objective is built as ``Objective(model, columns, counts, *, options)`` from the CTR module, the ``Columns`` that it
may hide, and the training count of every row of the flat table. ``make(ids, random)`` turns ``ids [batch, columns]``
(numpy) into changed ids and what the loss reads beside them; ``forward(batch)`` of the module gives the loss. It reads
the head's vector below its output (``encode``); parts of its own are dropped after pretraining.
"""

CTR_OBJECTIVES = {
    "masked_feature": "recsys_bert.ctr.objectives.masked_feature:MaskedFeature",
    "replaced_feature": "recsys_bert.ctr.objectives.replaced_feature:ReplacedFeature",
}
