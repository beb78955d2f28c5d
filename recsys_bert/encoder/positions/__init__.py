"""Relative positions, one paper a file: ``(head_dim, n_heads)``, applied where a layer compares queries with keys.

``rotate(x, position=None)`` turns queries or keys ``[batch, n_heads, seq, head_dim]``, by their index in the row or by
``position [batch, seq]``; ``bias(distance)`` is added to the scores, float32 ``[batch, n_heads, query, key]`` of
distances ``[batch, query, key]``, query minus key; or is None.

A layer has the class attribute ``relative_positions = True`` if its scores come from ``SelfAttention``, which applies
them; the encoder refuses other layers.
"""

RELATIVE_POSITIONS: dict[str, str] = {
    "alibi": "recsys_bert.encoder.positions.alibi:Alibi",
    "rope": "recsys_bert.encoder.positions.rope:Rope",
}
