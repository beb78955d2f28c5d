"""A lexicon and its layer from settings."""

import sys
from collections.abc import Callable, Sequence

from torch import nn

from nlp_tasks.tagging.config import AnnotatedFilesConfig, LexiconConfig
from nlp_tasks.tagging.data import AnnotatedSentences
from nlp_tasks.tagging.files import read_annotated
from nlp_tasks.tagging.inputs import RaggedRows
from nlp_tasks.tagging.lexicon import LEXICON_LAYERS
from nlp_tasks.tagging.lexicon.lexicon import Lexicon, read_word_vectors, read_words
from nlp_tasks.tagging.sentences import Sentence, sentences_as_read
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError


def count_lexicon(config: LexiconConfig, train: AnnotatedSentences, as_read: Callable[[str], str]) -> Lexicon | None:
    """Lexicon with counts in training sentences and plain text, and with vectors; None for ``none``.

    Args:
        config: The settings.
        train: Training sentences.
        as_read: Text in the characters that the tokenizer reads; see ``Tokenizer.as_read``.
    """
    if config.name == "none":
        return None
    words = list(dict.fromkeys(map(as_read, read_words(config.file, config.max_length))))
    sentences = list(train.sentences)
    vectors = read_word_vectors(config.vectors, words)
    lines = AnnotatedFilesConfig(format="lines", granularity=train.granularity)
    for path in config.text:
        sentences += read_annotated(path, lines, entities=False).sentences
    lexicon = Lexicon.count(words, sentences_as_read(sentences, as_read), config.min_count, vectors)
    counts = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in lexicon.counted.items())
    print(f"lexicon: {counts}", file=sys.stderr)
    return lexicon


def lexicon_layer(config: LexiconConfig, dim: int, lexicon: Lexicon) -> nn.Module:
    """Build a lexicon layer for word vectors of ``dim``; its embedding starts on the lexicon's vectors."""
    layer: nn.Module = build("lexicon layer", config.name, LEXICON_LAYERS, dim, lexicon.counts, options=config.options)
    if lexicon.vectors is not None:
        table = getattr(layer, "embedding", None)
        if not isinstance(table, nn.Embedding):
            raise InputError(
                f"lexicon layer {config.name!r} has no nn.Embedding 'embedding'; leave lexicon.vectors out."
            )
        start_rows(table, lexicon.names, lexicon.vectors, "lexicon.options width")
    return layer


def warn_without_matches(matches: RaggedRows, train: AnnotatedSentences) -> None:
    """Warn on stderr if no word of the lexicon but single characters occurs in the sentences."""
    if any(_characters(train.sentences, row) > 1 for row in matches.rows.tolist()):
        return
    separator = "a space" if train.word_separator == "space" else "nothing"
    print(
        f"warning: no word of the lexicon that is longer than a character occurs in {train.path}, whose words are "
        f"joined by {separator} (data.word_separator).",
        file=sys.stderr,
    )


def _characters(sentences: Sequence[Sentence], match: Sequence[int]) -> int:
    sentence, start, stop, _ = match
    first, last = sentences[sentence].characters(start, stop)
    return last - first
