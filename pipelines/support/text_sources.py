"""Sources of text vectors by their paths: text encoders, files of word vectors, files of ready vectors."""

from pathlib import Path
from typing import Any


def text_source(by: str, path: Path) -> Any:
    """Open what a way to text vectors reads beside the texts.

    Args:
        by: The way, see ``TEXT_VECTORS``.
        path: Folder of an encoder, or a file.

    Raises:
        InputError: It cannot be opened.
    """
    if by == "encoder":
        from nlp_tasks.text_encoder import TextEncoder

        encoder = TextEncoder.load(path)
        encoder.precision = "auto"
        return encoder
    if by == "words":
        from nlp_tasks.word_vectors.files import WordVectors

        return WordVectors.load(path)
    return path
