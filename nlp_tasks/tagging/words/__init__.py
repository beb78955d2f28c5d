"""Word parts: what the words of a lexicon add to units, between encoder and head, one paper a file.

A part is built as ``Part(dim, counts, *, options)``, where ``counts`` says how often each row of its word table occurs
(see ``Lexicon``), and called as ``part(units, mask, words) -> [batch, seq, out_dim]`` on ``units [batch, seq, dim]``,
``mask`` bool ``[batch, seq]`` and ``words [k, 4]``: sentence, first unit, one past the last, row. It has ``out_dim``,
and its word table is ``part.words``, an ``nn.Embedding`` that may start on word vectors.
"""

WORD_PARTS = {
    "soft_lexicon": "nlp_tasks.tagging.words.soft_lexicon:SoftLexicon",
    "flat": "nlp_tasks.tagging.words.flat:Flat",
}
