"""One normalisation and one word splitter, for training, prediction and search.

Texts are compared in NFKC (https://unicode.org/reports/tr15/): letters with their marks in one, full and half width
alike; without characters that are not seen. Positions remain those of the text as it came.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Literal

from recsys_bert.errors import InputError

ChineseCharacters = Literal["as_written", "simplified"]
"""Traditional Chinese characters as they are, or read as Simplified ones."""

CHINESE = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
"""Range of Chinese characters in a pattern."""

_JAMO = "[\u1100-\u115f][\u1160-\u11a7]?[\u11a8-\u11ff]?"  # a Korean syllable in NFD


def _ranges(categories: tuple[str, ...]) -> str:
    """Characters of Unicode categories, as ranges of a pattern."""
    spans: list[list[int]] = []
    for code in (*range(0x80, 0x20000), *range(0xE0000, 0xE0200)):  # there are none between
        if unicodedata.category(chr(code)) in categories:
            if spans and spans[-1][1] == code - 1:
                spans[-1][1] = code
            else:
                spans.append([code, code])
    return "".join(f"{chr(a)}-{chr(b)}" if b > a else chr(a) for a, b in spans)


@cache
def marks() -> str:
    """Characters that belong to the one before: accents, vowel signs, variation selectors; half-width voicing marks."""
    return _ranges(("Mn", "Mc", "Me")) + "\uff9e\uff9f"


@cache
def invisible() -> str:
    """Characters that are not seen: joiners, zero-width blanks, soft hyphens, directions, the byte order mark."""
    return _ranges(("Cf",)) + "\x00-\x08\x0e-\x1f\x7f"


_PLAIN_WORD = re.compile(rf"[{CHINESE}]|(?:(?![{CHINESE}_])\w)+|[^\w\s]|_")
_PLAIN_CHARACTER = re.compile(r"\S")


@cache
def _odd() -> re.Pattern[str]:
    return re.compile(f"[{marks()}{invisible()}]")


@cache
def _word() -> re.Pattern[str]:
    m, i = marks(), invisible()
    letter = rf"(?:(?![{CHINESE}_{m}{i}])\w)"
    return re.compile(rf"[{CHINESE}][{m}]*|{letter}(?:[{i}]*(?:{letter}|[{m}]))*|(?:_|[^\w\s{m}{i}])(?:[{i}]*[{m}])*")


@cache
def _character() -> re.Pattern[str]:
    m, i = marks(), invisible()
    return re.compile(rf"[^\s{m}{i}](?:[{i}]*[{m}])*")


def word_spans(text: str, granularity: str) -> list[tuple[int, int]]:
    """First character of each word and one past its last.

    Args:
        text: Any text.
        granularity: ``words`` as BERT has them: runs of letters and digits, single Chinese characters, single other
            signs; or ``characters``: all but white space. Marks belong to the character before them; characters that
            are not seen may be within a word, but are never one.
    """
    odd = not text.isascii() and _odd().search(text) is not None  # few texts have any, and the plain patterns are fast
    if granularity == "words":
        pattern = _word() if odd else _PLAIN_WORD
    else:
        pattern = _character() if odd else _PLAIN_CHARACTER
    return [match.span() for match in pattern.finditer(text)]


@cache
def _invisible_pattern() -> re.Pattern[str]:
    return re.compile(f"[{invisible()}]")


def is_visible(text: str) -> bool:
    """True for a text with a character that is seen: neither white space, nor a mark or joiner alone."""
    return _character().search(text) is not None


def is_plain(text: str) -> bool:
    """True if normalisation keeps every character at its position: it has neither marks nor invisible ones."""
    return text.isascii() or (_odd().search(text) is None and len(normalise(text)) == len(text))


def normalise(text: str) -> str:
    """Text in NFKC, without characters that are not seen."""
    if text.isascii() and text.isprintable():
        return text
    return unicodedata.normalize("NFKC", _invisible_pattern().sub("", text))


def composed(text: str) -> str:
    """Text in NFC, without characters that are not seen: as its metrics compare it, full width remaining full."""
    return text if text.isascii() else unicodedata.normalize("NFC", _invisible_pattern().sub("", text))


def words(text: str) -> list[str]:
    """Words of a text with letters or digits, normalised and in small letters."""
    normal = normalise(text).lower()
    pieces = (normal[start:stop] for start, stop in word_spans(normal, "words"))
    return [word for word in pieces if any(map(str.isalnum, word))]


@cache
def simplified_characters() -> Mapping[int, str]:
    """Simplified character of each Traditional one, as ``str.translate`` takes them: one for one, whatever the word.

    The table is that of OpenCC (https://github.com/BYVoid/OpenCC, extra ``text``). No value is Traditional itself.

    Raises:
        InputError: OpenCC is not installed.
    """
    try:
        import opencc
    except ImportError as error:
        raise InputError(
            "Simplified for Traditional characters needs OpenCC: pip install 'recsys-bert[text]'."
        ) from error
    convert = opencc.OpenCC("t2s").convert
    codes = [code for block in _WITH_CHINESE for code in block]
    normal = {code: letter for code in codes if len(letter := unicodedata.normalize("NFKC", chr(code))) == 1}
    simple = {code: convert(letter) for code, letter in normal.items()}
    table = {code: letter for code, letter in simple.items() if letter != normal[code] and len(letter) == 1}
    return {code: table.get(ord(letter), letter) for code, letter in table.items()}


_WITH_CHINESE = (  # radicals, enclosed and compatibility characters too: NFKC makes Chinese characters of them
    range(0x2E80, 0xA000),
    range(0xF900, 0xFB00),
    range(0x1F200, 0x1F300),
    range(0x20000, 0x32400),
)


def simplified(text: str, table: Mapping[int, str] | None = None) -> str:
    """Text with Simplified for Traditional characters, each at its position.

    Args:
        text: Any text.
        table: As of ``simplified_characters``, which is the default.

    Raises:
        InputError: OpenCC is needed and not installed.
    """
    return text if text.isascii() else text.translate(simplified_characters() if table is None else table)


@cache
def _cluster_pattern() -> re.Pattern[str]:
    return re.compile(rf"{_JAMO}|.[{marks()}]*", re.DOTALL)


def with_positions(text: str) -> tuple[str, list[int]]:
    """Normalised text, and, for each of its characters and its end, the position in the text as it came."""
    pieces: list[str] = []
    positions: list[int] = []
    for match in _cluster_pattern().finditer(text):
        piece = normalise(match.group())
        pieces.append(piece)
        positions += [match.start()] * len(piece)
    return "".join(pieces), [*positions, len(text)]
