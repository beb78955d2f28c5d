"""Lexicon layers: add words of a lexicon to character vectors, between encoder and head, one paper a file.

A layer is built as ``Layer(dim, counts, *, options)``, where ``counts`` holds the frequency of each row of its
embedding (see ``Lexicon``), and called as ``layer(characters, mask, matches) -> [batch, seq, out_dim]`` on
``characters [batch, seq, dim]``, ``mask`` bool ``[batch, seq]`` and ``matches [k, 4]``: sentence, first character, one
past the last, row. It has ``out_dim``, and its ``embedding`` is an ``nn.Embedding`` that may start on word vectors.
"""

LEXICON_LAYERS = {
    "soft_lexicon": "nlp_tasks.tagging.lexicon.soft_lexicon:SoftLexicon",
    "flat": "nlp_tasks.tagging.lexicon.flat:Flat",
}
