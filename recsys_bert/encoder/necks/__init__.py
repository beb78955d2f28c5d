"""Necks, one paper a file: ``(dim, dropout, *, causal, options)``, ``(x, mask) -> [batch, seq, out_dim]``.

A neck has the attribute ``out_dim``. In causal mode no position of its output may depend on a later one; a neck that
cannot do that raises ``InputError`` in its constructor. The name ``none`` stands for no neck and is in no table.
"""

NECKS: dict[str, str] = {
    "bigru": "recsys_bert.encoder.necks.bigru:BiGru",
    "bilstm": "recsys_bert.encoder.necks.bilstm:BiLstm",
    "cnn": "recsys_bert.encoder.necks.cnn:Cnn",
    "rtransformer": "recsys_bert.encoder.necks.rtransformer:RTransformer",
    "transformer": "recsys_bert.encoder.necks.transformer:Transformer",
}
