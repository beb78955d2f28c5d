"""CTR heads, one paper a file.

A head is built as ``Head(n_fields, dim, *, options)`` and called as ``head(fields, history, mask) -> logits [batch]``:

* ``fields`` ``[batch, n_fields, dim]``: one vector a field. Where impressions have a history, field 0 is the target
  item, field 1 the pooled history, and field 2 their score times a learned direction; features follow from 3 on, in
  the order of ``metrics.json``: ids, categorical, numeric and multi-valued columns, side features.
* ``history`` ``[batch, seq, dim]``, oldest first, and ``mask`` bool ``[batch, seq]``; ``seq`` may be 0. A head that
  does not read the sequence has the pooled history among its fields.

A head that may stand below several tasks (see ``ctr.multi_task``) has two steps: ``encode(fields, history, mask)``
gives ``[batch, out_dim]``, and its module ``out`` makes logits of that; the tasks take the place of ``out``.

First-order weights need no second table: a head that wants them reads channel 0 of every field, as libFM stores
``w`` and ``V`` in one row. A head that cannot work without a history says ``needs_history = True``.
"""

CTR_HEADS = {
    "lr": "recsys_bert.ctr.heads.lr:LogisticRegression",
    "mlp": "recsys_bert.ctr.heads.mlp:EmbeddingMlp",
    "fm": "recsys_bert.ctr.heads.fm:FactorisationMachine",
    "deepfm": "recsys_bert.ctr.heads.deepfm:DeepFM",
    "dcn_v2": "recsys_bert.ctr.heads.dcn_v2:DCNv2",
    "final_mlp": "recsys_bert.ctr.heads.final_mlp:FinalMLP",
    "din": "recsys_bert.ctr.heads.din:DIN",
    "bst": "recsys_bert.ctr.heads.bst:BST",
}
