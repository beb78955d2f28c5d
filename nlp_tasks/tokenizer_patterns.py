"""Regular expressions of tokenizer files: those that could take time exponential in a text's length are refused.

Patterns of strangers run in a backtracking engine (Oniguruma) that nothing interrupts. See "Catastrophic backtracking",
https://www.regular-expressions.info/catastrophic.html.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, normalizers

from recsys_bert.errors import InputError

MAX_LENGTH = 10_000
"""Longest pattern, in characters."""

MAX_REPEATS = 1_000
"""Largest ``n`` of ``{n}``: the engine unrolls those."""

_MAX_OPEN = 2  # long repetitions before the end of one alternative: time grows with that power of a run's length, and 2
_MAX_OPTIONAL = 10  # choices before its end: each doubles the ways to match
_LONG = 16  # repetitions from here on count as unbounded
_QUANTIFIER = re.compile(r"[*+?]|\{(\d*)(?:(,)(\d*))?\}")
_GROUP = re.compile(r"\(\?(?:<?[=!]|<\w+>|'\w+'|>|[imswuad]*(?:-[imswuad]*)?(?::|(?=\))))|\((?!\?)")
_ESCAPE = re.compile(
    r"\\(?:[pP]\{\^?[\w ]+\}|x\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|[^\dgkKxupPQE])", re.S
)
_SAMPLE = "".join(map(chr, (*range(0x3400), *range(0x3400, 0xD800, 16), *range(0xE000, 0x20000, 16))))
_WIDTHLESS = ("^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z", r"\G")


@dataclass
class _Read:
    """A sequence, an alternative or a group, as far as it was read."""

    open: int = 0
    """Most repetitions without a short end in one alternative."""

    open_inside: int = 0
    """Those that something must follow, so that the engine comes back to them."""

    optional: int = 0
    """Parts of variable length."""

    first: str | None = None
    """Single character that it begins with, as a pattern; None where it need not begin with one."""

    empty: bool = True
    """True if it may match nothing."""


class _Refused(Exception):
    """A pattern that is not taken; the message says why."""


def check_patterns(values: Any, source: object) -> None:
    """Refuse regular expressions of a ``tokenizer.json`` that could hang, or that are not understood.

    Patterns of the published GPT-2, RoBERTa, CLIP, Llama, Qwen, XLM-R and BLOOM pass.

    Args:
        values: Parsed file; each ``{"Regex": pattern}`` in it is a pattern.
        source: The file, for the message.

    Raises:
        InputError: A repeated group holds a part of variable length or alternatives that begin alike; more than
            ``MAX_LENGTH`` characters; back references and other parts of unbounded cost.
    """
    for pattern in _patterns(values):
        try:
            if len(pattern) > MAX_LENGTH:
                raise _Refused(f"it has {len(pattern):,} characters, and {MAX_LENGTH:,} are the most")
            reader = _Reader(pattern)
            reader.alternatives(repeated=False, depth=0)
            if reader.at < len(pattern):
                raise _Refused("a bracket is closed that was not opened")
        except _Refused as error:
            raise InputError(
                f"{source} splits texts by the regular expression {pattern[:80]!r}{'…' * (len(pattern) > 80)}, which "
                f"is not run: {error}. Use a tokenizer whose pattern takes time in proportion to the text."
            ) from None


def _patterns(values: Any) -> Iterator[str]:
    rest = [values]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if isinstance(pattern := value.get("Regex"), str):
                yield pattern
            rest += value.values()
        elif isinstance(value, list):
            rest += [one for one in value if isinstance(one, dict | list)]


class _Reader:
    """Recursive descent over one pattern, in Oniguruma's Ruby syntax."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def alternatives(self, *, repeated: bool, depth: int) -> _Read:
        """Read until the closing bracket or the end; ``repeated`` if the group has a quantifier that repeats it."""
        if depth > 50:
            raise _Refused("its groups are nested more than 50 deep")
        start, read = self.at, [self._sequence(depth)]
        while self.at < len(self.pattern) and self.pattern[self.at] == "|":
            self.at += 1
            read.append(self._sequence(depth))
        if repeated:
            if any(one.empty or one.optional or one.open for one in read):
                raise _Refused(f"{self.pattern[start : self.at]!r} is repeated, and holds a part of variable length")
            _check_distinct([one.first for one in read], self.pattern[start : self.at])
        one_way = len(read) == 1
        return _Read(
            open=max(one.open for one in read),
            open_inside=max(one.open_inside for one in read),
            optional=max(one.optional for one in read) + (not one_way),
            first=read[0].first if one_way else None,
            empty=any(one.empty for one in read),
        )

    def _sequence(self, depth: int) -> _Read:
        whole = _Read()
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            start = self.at
            part = self._atom(depth)
            least, most = self._quantifier()
            if most > 1 and self.pattern[start] == "(":  # read again, now as what is repeated
                stop, self.at = self.at, start
                self._atom(depth, repeated=True)
                self.at = stop
            if not part.empty and least > 0:
                whole.open_inside, whole.optional = whole.open, whole.optional
                if whole.empty and not whole.optional and not whole.open:
                    whole.first = part.first
                whole.empty = False
            elif part.empty and not part.open and not part.optional:  # an assertion, which may fail
                whole.open_inside = whole.open
            whole.open_inside = max(whole.open_inside, whole.open + part.open_inside)
            whole.open += part.open + (most >= _LONG and most != least)
            whole.optional += part.optional + (most != least and most < _LONG)
            if whole.open_inside > _MAX_OPEN:
                raise _Refused(f"more than {_MAX_OPEN} repetitions without an end come before {self.pattern[start:]!r}")
            if whole.optional > _MAX_OPTIONAL:
                raise _Refused(f"one alternative has more than {_MAX_OPTIONAL} choices")
        return whole

    def _atom(self, depth: int, repeated: bool = False) -> _Read:
        start, sign = self.at, self.pattern[self.at]
        if sign == "(":
            return self._group(depth, repeated)
        if sign == "[":
            self._class()
        elif sign == "\\":
            if not (escape := _ESCAPE.match(self.pattern, self.at)):
                raise _Refused(f"{self.pattern[start : start + 8]!r} is not a character, a class or a place")
            self.at = escape.end()
        elif sign in "*+?":
            raise _Refused(f"the {sign!r} at {start} repeats nothing, or a repetition")
        else:
            self.at += 1
        text = self.pattern[start : self.at]
        return _Read() if text in _WIDTHLESS else _Read(first=text, empty=False)

    def _group(self, depth: int, repeated: bool) -> _Read:
        opened = _GROUP.match(self.pattern, self.at)
        if not opened:
            raise _Refused(f"groups like {self.pattern[self.at : self.at + 6]!r} are not supported")
        self.at = opened.end()
        read = self.alternatives(repeated=repeated, depth=depth + 1)
        if self.at == len(self.pattern):
            raise _Refused("a group is not closed")
        self.at += 1
        around = opened[0].endswith(("=", "!"))
        return _Read(open_inside=read.open_inside) if around else read

    def _class(self) -> None:
        depth, start = 0, self.at
        while self.at < len(self.pattern):
            sign = self.pattern[self.at]
            if sign == "[" and re.match(r"\[\^?\]", self.pattern[self.at :]):
                raise _Refused("a character class begins with ']'")
            depth += (sign == "[") - (sign == "]")
            self.at += 2 if sign == "\\" else 1
            if not depth:
                return
        raise _Refused(f"the character class {self.pattern[start : start + 8]!r} is not closed")

    def _quantifier(self) -> tuple[int, float]:
        """Fewest and most repetitions; a second quantifier but for a lazy or possessive sign is refused."""
        match = _QUANTIFIER.match(self.pattern, self.at)
        if not match or match[0] in ("{}", "{,}"):
            return 1, 1
        self.at = match.end()
        sign = match[0]
        limits = {"*": (0, float("inf")), "+": (1, float("inf")), "?": (0, 1)}
        if sign in limits:
            least, most = limits[sign]
            signs = "?+"
        else:
            least = int(match[1][:9] or 0)
            most = least if not match[2] else float(match[3]) if match[3] else float("inf")
            signs = "?" if match[2] else ""
        if max(least, most if most != float("inf") else 0) > MAX_REPEATS:
            raise _Refused(f"{sign} repeats more than {MAX_REPEATS:,} times")
        if self.at < len(self.pattern) and self.pattern[self.at] in signs:
            self.at += 1
        if (more := _QUANTIFIER.match(self.pattern, self.at)) and more[0] not in ("{}", "{,}"):
            raise _Refused(f"{sign}{more[0]} repeats a repetition")
        return least, most


def _check_distinct(firsts: list[str | None], group: str) -> None:
    """Refuse alternatives of a repeated group of which two can begin with the same character."""
    if len(firsts) == 1:
        return
    seen: set[str] = set()
    for first in firsts:
        matched = set() if first is None else _matched(first)
        if not matched or seen & matched:
            raise _Refused(f"{group!r} is repeated, and its alternatives begin alike")
        seen |= matched


def _matched(single: str) -> set[str]:
    """Characters that a pattern of one character matches, in either case of letters, by the engine itself."""
    sample = _SAMPLE + "".join(sign for sign in single if sign not in _SAMPLE)
    left = normalizers.Replace(Regex(f"(?i:{single})"), "").normalize_str(sample)
    return set(sample) - set(left)
