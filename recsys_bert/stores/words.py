"""Words of a text for search, in any language, with nothing to install.

Text is normalised (NFKC, case folded). Runs of letters, digits and marks are words; runs in scripts that put no spaces
between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are cut into characters and pairs of neighbours, so that a
search for two characters finds them wherever they stand together.
"""

import functools
import itertools
import unicodedata

MAX_QUERY_WORDS = 100
"""Words of a query that are searched; later ones are left out."""

MAX_INDEXED_WORDS = 4_096
"""Words of a text that a search can find; Milvus's limit of a list."""

MAX_WORD = 100
"""Characters of a word that count."""

_UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai and Lao, Burmese, Khmer
    *((0x3005, 0x3007), (0x3040, 0x30FF), (0x31F0, 0x31FF)),  # kana
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),  # Chinese characters
)


@functools.lru_cache(maxsize=1 << 16)
def _kind(character: str) -> str:
    """``word``, ``unspaced``, or nothing where the character separates words."""
    if unicodedata.category(character)[0] not in "LNM":
        return ""
    return "unspaced" if any(low <= ord(character) <= high for low, high in _UNSPACED) else "word"


def index_words(text: str) -> list[str]:
    """Words of a text to store, repeated ones too; of scripts without spaces single characters and pairs."""
    words = []
    for kind, run in _runs(text):
        words += [run[:MAX_WORD]] if kind == "word" else [*run, *_pairs(run)]
    return words[:MAX_INDEXED_WORDS]


def query_words(text: str) -> list[str]:
    """Distinct words to search for; of scripts without spaces the pairs, a single character where it stands alone."""
    words: list[str] = []
    for kind, run in _runs(text):
        words += [run[:MAX_WORD]] if kind == "word" or len(run) == 1 else _pairs(run)
    return list(dict.fromkeys(words))[:MAX_QUERY_WORDS]


def _runs(text: str) -> list[tuple[str, str]]:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return [(kind, "".join(run)) for kind, run in itertools.groupby(text, _kind) if kind]


def _pairs(run: str) -> list[str]:
    return [run[n : n + 2] for n in range(len(run) - 1)]
