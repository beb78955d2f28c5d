"""Layers, one paper a file: ``(dim, n_heads, dropout, *, options)``, ``(x, attention_mask, state) -> (x, state)``.

``state`` is handed from layer to layer (None in the first), as for residual attention scores.

The class attribute ``ends_with_norm`` is True if the layer's output has just been normalised; otherwise the encoder
applies a norm after the fusion.

The class attribute ``last_position_only`` is True if the layer can compute a single position of each row
(``attention_mask.query_position``, output ``[batch, 1, dim]``); the encoder uses it in the last layer for ranking.

The class attribute ``relative_positions`` is True if all of the layer's scores come from ``SelfAttention``, which
applies ``attention_mask.relative`` (``rope``, ``alibi``).

The class attribute ``cacheable`` is True if outputs at a position depend on others through keys and values alone, and
these go through ``attention_mask.extend``, masks through ``full``, ``bias`` and ``distance``; such layers generate, a
position at a time (``recsys_bert.encoder.cached``).

Three keyword-only arguments are no options, the encoder sets them for layers that take them: ``timed``, True if the
config has ``times`` (``attention_mask.times`` is then present); ``causal``, for layers that refuse it; ``max_len``.
"""

LAYERS: dict[str, str] = {
    "bert": "recsys_bert.encoder.layers.bert:BertLayer",
    "bsarec": "recsys_bert.encoder.layers.bsarec:BsarecLayer",
    "gated": "recsys_bert.encoder.layers.gated:GatedLayer",
    "hstu": "recsys_bert.encoder.layers.hstu:HstuLayer",
    "pre_norm": "recsys_bert.encoder.layers.pre_norm:PreNormLayer",
    "realformer": "recsys_bert.encoder.layers.realformer:RealFormerLayer",
    "relative": "recsys_bert.encoder.layers.relative:RelativeLayer",
    "wearec": "recsys_bert.encoder.layers.wearec:WearecLayer",
}
