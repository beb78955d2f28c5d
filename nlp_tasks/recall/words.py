"""Text cut into words for search: of Chinese by jieba, of anything else at what is no letter or digit."""

import functools
from collections.abc import Callable
from typing import Any

from nlp_tasks.normalisation import normalise, simplified, simplified_characters, words
from recsys_bert.errors import InputError

Cut = Callable[[str], list[str]]


def plain_words(text: str) -> list[str]:
    """Runs of letters and digits, and single Chinese characters, normalised and in small letters."""
    return words(text)


def chinese_words() -> Cut:
    """Word segmentation by jieba for search engines: long words also into the words within them.

    Punctuation and blanks are dropped.

    Raises:
        InputError: jieba is not installed.
    """
    cut = jieba_tokenizer("Chinese words need").lcut_for_search

    def segments(text: str) -> list[str]:
        return [word for word in cut(normalise(text).lower()) if any(map(str.isalnum, word))]

    return segments


def simplified_words(cut: Cut) -> Cut:
    """Words of a text with Simplified for Traditional Chinese characters, so that either finds the other.

    Args:
        cut: Cuts that text into words.

    Raises:
        InputError: OpenCC is not installed.
    """
    table = simplified_characters()
    return lambda text: cut(simplified(text, table))


def jieba_tokenizer(what: str) -> Any:
    """A tokenizer of jieba (https://github.com/fxsjy/jieba, extra ``text``), ready and quiet.

    Args:
        what: Goes before "jieba" in the error, as in ``"whole_words 'jieba' needs"``.

    Raises:
        InputError: jieba is not installed.
    """
    try:
        return _jieba()
    except ImportError as error:
        raise InputError(f"{what} jieba: pip install 'recsys-bert[text]'.") from error


@functools.cache
def _jieba() -> Any:
    import jieba

    jieba.setLogLevel("ERROR")
    tokenizer = jieba.Tokenizer()
    tokenizer.initialize()  # reads its dictionary, which takes a second
    return tokenizer
