"""Heads: pool a text's states into one vector; one paper a file.

A head is built as ``Head(dim, *, options)`` and called as ``head(tokens, mask) -> [batch, out_dim]`` on
``tokens [batch, seq, dim]`` and ``mask`` bool ``[batch, seq]``; it has the attribute ``out_dim``. The task turns
the vector into classes or a similarity.
"""

TEXT_HEADS = {
    "first": "nlp_tasks.heads.first:First",
    "mean": "nlp_tasks.heads.mean:Mean",
    "max": "nlp_tasks.heads.maximum:Maximum",
    "attention": "nlp_tasks.heads.attention:Attention",
    "dense": "nlp_tasks.heads.dense:Dense",
    "text_cnn": "nlp_tasks.heads.text_cnn:TextCNN",
}
