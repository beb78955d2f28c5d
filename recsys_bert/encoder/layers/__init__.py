"""Layers, one paper a file: ``(dim, n_heads, dropout, *, options)``, ``(x, attention_mask, state) -> (x, state)``.

A class attribute ``ends_with_norm`` says whether what the layer returns has just been through a layer norm; where it is
``False``, the encoder puts one norm behind the fusion.

A class attribute ``last_position_only`` says that a layer can compute one position of each row alone
(``attention_mask.query_position``) and then returns ``[batch, 1, dim]``; the encoder asks the last layer so when
ranking. Without it all positions are computed.

A layer that can read when events happened takes the keyword-only argument ``timed`` as well. It is the encoder's to
give, not an option: True where its config has ``times``, and then ``attention_mask.times`` is there.
"""

LAYERS: dict[str, str] = {
    "bert": "recsys_bert.encoder.layers.bert:BertLayer",
    "gated": "recsys_bert.encoder.layers.gated:GatedLayer",
    "hstu": "recsys_bert.encoder.layers.hstu:HstuLayer",
    "pre_norm": "recsys_bert.encoder.layers.pre_norm:PreNormLayer",
    "realformer": "recsys_bert.encoder.layers.realformer:RealFormerLayer",
}
