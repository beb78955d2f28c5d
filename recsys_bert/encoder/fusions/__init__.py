"""Fusions, one paper a file: ``(dim, n_layers, *, options)``, ``(states) -> [batch, seq, dim]``.

``states`` are the embedding output and every layer's output: ``n_layers + 1`` tensors ``[batch, seq, dim]``.
"""

FUSIONS: dict[str, str] = {
    "last": "recsys_bert.encoder.fusions.last:Last",
    "layer_attention": "recsys_bert.encoder.fusions.layer_attention:LayerAttention",
    "pool": "recsys_bert.encoder.fusions.pool:Pool",
    "scalar_mix": "recsys_bert.encoder.fusions.scalar_mix:ScalarMix",
    "token_mix": "recsys_bert.encoder.fusions.token_mix:TokenMix",
}
