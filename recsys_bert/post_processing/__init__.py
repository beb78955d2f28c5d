"""Post-processing of vectors, of texts, items or users: one paper a file, fitted once and kept with what made them.

A part is built as ``Part(dim, *, options)``, an ``nn.Module`` with ``out_dim``. ``fit(vectors)`` takes float32
``[n, dim]``; afterwards ``part(vectors)`` gives ``[n, out_dim]``, and nothing of it is trained any more.
"""

POST_PROCESSING = {
    "centring": "recsys_bert.post_processing.centring:Centring",
    "whitening": "recsys_bert.post_processing.whitening:Whitening",
    "flow": "recsys_bert.post_processing.flow:Flow",
}
