r"""Filters written as text: ``price < 20 and brand in ("a", "b") and not sold_out``.

Grammar (EBNF), loosest first::

    filter     = all {"or" all}
    all        = negation {"and" negation}
    negation   = "not" negation | "(" filter ")" | comparison
    comparison = column                                              (a yes/no column)
               | operand op operand [op operand]                      (op: == = != < <= > >=)
               | column ["not"] "in" "(" value {"," value} ")"
               | string ["not"] "in" column                           (a column of tags)
               | column "is" ["not"] "missing"
    operand    = column | value
    value      = number | string | "true" | "false"

Strings stand in ``"…"`` or ``'…'`` with ``\"``, ``\'``, ``\\``, ``\n``, ``\t`` and ``\uXXXX``. A column whose name is
no word stands in backquotes.
"""

import re
from dataclasses import dataclass

from recsys_bert.errors import InputError
from recsys_bert.stores.filters import FLIPPED, And, Compare, Filter, In, Located, Missing, Not, Operator, Or, Value

MAX_LENGTH = 100_000
"""Longest filter, in characters."""

MAX_DEPTH = 50
"""Deepest nesting of brackets and negations."""

_TOKEN = re.compile(
    # possessive: a number is not tried again with fewer digits, which takes minutes where it is long
    r"\s*(?:(?P<number>[-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d++)?)(?![\w.])"
    r"""|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<quoted>`[^`]+`)|(?P<word>[^\W\d]\w*)|(?P<sign>==|!=|<=|>=|[=<>(),\[\]]))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_WORDS = ("and", "or", "not", "in", "is", "missing", "true", "false")
_OPERATORS: dict[str, Operator] = {
    "==": "==", "=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip


@dataclass(frozen=True)
class _Token:
    kind: str
    """number, string, column, one of the words or signs, or ``end``."""

    text: str
    value: Value
    position: int


def parse_filter(text: str) -> Located:
    """Parse a filter.

    Raises:
        InputError: It is no filter; the message names the position.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"the filter has {len(text):,} characters; at most {MAX_LENGTH:,} are allowed.")
    parser = _Parser(text)
    tree = parser.any_of(0)
    parser.expect("end", "and, or, or the end")
    return Located(tree, parser.positions, text)


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at = text, _tokens(text), 0
        self.positions: dict[int, str] = {}

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def error(self, needed: str, token: _Token | None = None) -> InputError:
        token = token or self.token
        text = "the end" if token.kind == "end" else repr(token.text)
        return _error(self.text, token.position, f"{text} is there; {needed} is needed")

    def accept(self, *kinds: str) -> _Token | None:
        token = self.token
        if token.kind not in kinds:
            return None
        self.at += 1
        return token

    def expect(self, kind: str, needed: str) -> _Token:
        if (token := self.accept(kind)) is None:
            raise self.error(needed)
        return token

    def any_of(self, depth: int) -> Filter:
        parts = [self.all_of(depth)]
        while self.accept("or"):
            parts.append(self.all_of(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all_of(self, depth: int) -> Filter:
        parts = [self.negation(depth)]
        while self.accept("and"):
            parts.append(self.negation(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negation(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise _error(
                self.text, self.token.position, f"brackets and negations are nested more than {MAX_DEPTH} deep"
            )
        if self.accept("not"):
            return Not(self.negation(depth + 1))
        if self.accept("("):
            tree = self.any_of(depth + 1)
            self.expect(")", "and, or, or ')'")
            return tree
        return self.comparison()

    def comparison(self) -> Filter:
        left = self.operand()
        if (op := self.accept(*_OPERATORS)) is not None:
            return self.compared(left, op)
        negated = self.accept("not")
        if negated and self.token.kind != "in":
            raise self.error("in")
        if self.accept("in"):
            tree = self.listed(left)
            return Not(tree) if negated else tree
        if left.kind != "column":
            raise self.error("a comparison, as in price < 20,")
        if self.accept("is"):
            negated = self.accept("not")
            self.expect("missing", "missing" if negated else "missing or not missing")
            tree = self.leaf(Missing(left.text), left)
            return Not(tree) if negated else tree
        return self.leaf(Compare(left.text, "==", True), left)

    def operand(self) -> _Token:
        token = self.accept("column", "number", "string", "true", "false")
        if token is None:
            raise self.error("a column, a value, not or '('")
        return token

    def compared(self, left: _Token, op: _Token) -> Filter:
        right = self.operand()
        tree = self.pair(left, op, right)
        if (second := self.accept(*_OPERATORS)) is None:
            return tree
        return And((tree, self.pair(right, second, self.operand())))  # 5 < price <= 20

    def pair(self, left: _Token, op: _Token, right: _Token) -> Filter:
        operator = _OPERATORS[op.kind]
        if (left.kind == "column") == (right.kind == "column"):
            raise _error(self.text, op.position, f"{op.text!r} compares a column with a value, as in price < 20")
        if left.kind == "column":
            return self.leaf(Compare(left.text, operator, right.value), left)
        return self.leaf(Compare(right.text, FLIPPED[operator], left.value), right)

    def listed(self, left: _Token) -> Filter:
        """``column in (…)``, or ``"tag" in column``."""
        if left.kind != "column":
            column = self.expect("column", "a column of tags")
            return self.leaf(In(column.text, (left.value,)), column)
        closing = ")" if self.accept("(") else "]"
        if closing == "]":
            self.expect("[", 'a list, as in ("a", "b"),')
        values = [self.constant()]
        while self.accept(","):
            values.append(self.constant())
        self.expect(closing, f"',' or '{closing}'")
        return self.leaf(In(left.text, tuple(values)), left)

    def constant(self) -> Value:
        token = self.accept("number", "string", "true", "false")
        if token is None:
            raise self.error("a value")
        return token.value

    def leaf(self, tree: Compare | In | Missing, token: _Token) -> Filter:
        self.positions[id(tree)] = f"character {token.position + 1}"
        return tree


def _tokens(text: str) -> list[_Token]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = len(text) - len(text[position:].lstrip())
            reason = "a string does not end" if text[start] in "\"'`" else f"{text[start]!r} means nothing in a filter"
            raise _error(text, start, reason)
        tokens.append(_token(text, match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*tokens, _Token("end", "", "", len(text))]


def _token(text: str, kind: str, part: str, position: int) -> _Token:
    if kind == "number":
        number = float(part) if re.search("[.eE]", part) else int(part) if len(part) <= 300 else float(part)
        return _Token(kind, part, number, position)
    if kind == "string":
        return _Token(kind, part, _unescaped(text, part[1:-1], position), position)
    if kind == "quoted":
        return _Token("column", part[1:-1], "", position)
    if kind == "word" and part.lower() in _WORDS:
        return _Token(part.lower(), part, part.lower() == "true", position)
    return _Token("column" if kind == "word" else part, part, "", position)


def _unescaped(text: str, part: str, position: int) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            known = r"\" \' \\ \n \t \uXXXX"
            raise _error(text, position + 1 + match.start(), f"\\{code} is no escape of a string; known are {known}")
        return _ESCAPES[code]

    return _ESCAPE.sub(character, part)


def _error(text: str, position: int, reason: str) -> InputError:
    start = max(0, position - 30)
    before, after = text[start:position], text[position : position + 30]
    around = ("…" if start else "") + before + "⟨here⟩" + after + ("…" if position + 30 < len(text) else "")
    return InputError(f"filter, character {position + 1}: {reason}. In: {around}")
