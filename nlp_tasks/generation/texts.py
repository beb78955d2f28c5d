"""Tokens as text: whole, or piece by piece as they are generated."""

import re
from collections.abc import Iterable, Iterator

from nlp_tasks.normalisation import CHINESE
from nlp_tasks.tokenization import Tokenizer

_CHINESE = rf"[\u3000-\u303f\uff00-\uffef{CHINESE}]"  # with the marks of Chinese text
_FULL_WIDTH = str.maketrans(",:;?!", "，：；？！")
_INCOMPLETE = "\ufffd"  # stands for the bytes of half a character

_RULES = (
    (re.compile(rf"({_CHINESE}) ?([,:;?!])"), lambda match: match[1] + match[2].translate(_FULL_WIDTH)),
    (re.compile(rf"(?<={_CHINESE}) | (?={_CHINESE})"), ""),
    (re.compile(r"(?<=\w) ' (?=(?:s|t|d|m|re|ve|ll)\b)"), "'"),
    (re.compile(r"(?<=[(\[]) | (?=[)\]:;])"), ""),
    (re.compile(r"(?<=\d[.,]) (?=\d)"), ""),
    (re.compile(r"(?<=\w) - (?=\w)"), "-"),
)
"""Undo what BERT's tokenizers do: blanks around every mark and Chinese character, and half width in normalising."""


def text_of(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    """Join tokens to a text; blanks that the tokenizer put around marks and Chinese characters go."""
    text = tokenizer.text(list(tokens))
    if tokenizer.kind in ("characters", "wordpiece"):
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
    return text


def pieces(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Text as its tokens come; the pieces joined are ``text_of`` all tokens.

    A piece is given once the next token does not change it any more: a token may be half of a character, or take away
    a blank before it.
    """
    so_far: list[int] = []
    sent = before = ""
    for token in tokens:
        so_far.append(token)
        text = text_of(tokenizer, so_far)
        stable = text[: _common(before, text)].rstrip(_INCOMPLETE)
        if len(stable) > len(sent):
            yield stable[len(sent) :]
            sent = stable
        before = text
    if before[len(sent) :]:
        yield before[len(sent) :]


def _common(text: str, other: str) -> int:
    """Characters at the beginning that both have."""
    return next((n for n, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
