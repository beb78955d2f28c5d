"""Layers, one paper a file: ``(dim, n_heads, dropout, *, options)``, ``(x, attend, carried) -> (x, carried)``.

A class attribute ``normalised`` says whether what the layer returns has just been through a layer norm; where it is
``False``, the encoder puts one norm behind the fusion.

A class attribute ``narrows`` says that a layer can be asked for one position of each row alone (``attend.asked``), and
then returns ``[batch, 1, dim]``; the encoder asks the last layer so when ranking. Without it all are computed.

A layer that can read when events happened takes the keyword-only argument ``timed`` as well. It is the encoder's to
give, not an option: True where its config has ``times``, and then ``attend.times`` is there in every forward pass.
"""

LAYERS: dict[str, str] = {
    "bert": "recsys_bert.encoder.layers.bert:BertLayer",
    "gated": "recsys_bert.encoder.layers.gated:GatedLayer",
    "hstu": "recsys_bert.encoder.layers.hstu:HstuLayer",
    "pre_norm": "recsys_bert.encoder.layers.pre_norm:PreNormLayer",
    "realformer": "recsys_bert.encoder.layers.realformer:RealFormerLayer",
}
