"""Layers, one paper a file: ``(dim, n_heads, dropout, *, options)``, ``(x, attend, carried) -> (x, carried)``.

A class attribute ``normalised`` says whether what the layer returns has just been through a layer norm; where it is
``False``, the encoder puts one norm behind the fusion.
"""

LAYERS: dict[str, str] = {
    "bert": "recsys_bert.encoder.layers.bert:BertLayer",
    "pre_norm": "recsys_bert.encoder.layers.pre_norm:PreNormLayer",
    "realformer": "recsys_bert.encoder.layers.realformer:RealFormerLayer",
}
