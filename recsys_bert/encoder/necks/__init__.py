"""Necks, one paper a file: ``(dim, dropout, *, causal, options)``, ``(x, mask) -> [batch, seq, out_dim]``.

A neck has the attribute ``out_dim``. With ``causal`` no output may depend on a later position; a neck that cannot be
causal raises ``InputError`` in its constructor. ``none`` = no neck, in no table.
"""

NECKS: dict[str, str] = {
    "bigru": "recsys_bert.encoder.necks.bigru:BiGru",
    "bilstm": "recsys_bert.encoder.necks.bilstm:BiLstm",
    "cnn": "recsys_bert.encoder.necks.cnn:Cnn",
    "rtransformer": "recsys_bert.encoder.necks.rtransformer:RTransformer",
    "transformer": "recsys_bert.encoder.necks.transformer:Transformer",
}
