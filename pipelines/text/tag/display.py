"""Entities shown in their text: in colour on a terminal, and as one HTML page that fetches nothing."""

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_bert.evaluation.report.pictures import COLOURS

if TYPE_CHECKING:
    from rich.text import Text

    from nlp_tasks.tagging.tagger import Found

Answer = tuple[int, str, "Sequence[Found]"]
"""Line, text and its entities."""

_HIDDEN = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
"""Control characters, by which a text could move the cursor or change colours, and what is shown in their place."""

_TERMINAL = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta")
_STYLE = """
main { max-width: 900px; }
.text { margin: 10px 0; line-height: 2.1; white-space: pre-wrap; overflow-wrap: anywhere; }
.text .line { color: var(--soft); font-size: 12px; margin-right: 10px; user-select: none; }
mark { background: color-mix(in srgb, var(--type) 22%, transparent); color: inherit; padding: 2px 4px;
  border-bottom: 2px solid var(--type); border-radius: 4px; box-decoration-break: clone; }
mark b { color: var(--type); font-size: 10.5px; letter-spacing: .04em; margin-left: 5px; vertical-align: 1px; }
mark b::before { content: "\\2060"; } /* a word joiner: no line ends between an entity and its type */
.key mark { margin-right: 10px; }
.also { display: block; color: var(--soft); font-size: 13px; line-height: 1.5; }
"""


def print_answers(answers: Sequence[Answer], types: Sequence[str]) -> None:
    """Print every text with its entities as ``[Ada Lovelace PER]``, in colour where stdout is a terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    width = len(str(max((line for line, _, _ in answers), default=0)))
    for line, text, found in answers:
        console.print(_coloured(f"{line:>{width}}  ", text, found, types))


def _coloured(before: str, text: str, found: "Sequence[Found]", types: Sequence[str]) -> "Text":
    from rich.text import Text

    shown = Text().append(before, style="dim")  # a Text's own style would hold for all of it
    open_types: list[str] = []
    for part, opens, kind in _pieces(text, found):
        if opens is None:
            shown.append(part.translate(_HIDDEN), style=_colour(open_types[-1], types) if open_types else "")
        elif opens:
            open_types.append(kind)
            shown.append("[", style="dim")
        else:
            style = f"bold {_colour(open_types.pop(), types)}"
            shown.append(f" {kind.translate(_HIDDEN)}", style=style).append("]", style="dim")
    for one in _crossing(found):
        also = f"also [{one.text} {one.type}]".translate(_HIDDEN)
        shown.append(f"\n{'':{len(before)}}{also}", style="dim")
    return shown


def _colour(kind: str, types: Sequence[str]) -> str:
    return _TERMINAL[types.index(kind) % len(_TERMINAL)]


def write_page(path: Path, answers: Sequence[Answer], types: Sequence[str], title: str) -> None:
    """Write every text with its entities marked, a colour a type, as one HTML page; whole or not at all."""
    from recsys_bert.files import replacing

    counts = Counter(one.type for _, _, found in answers for one in found)
    key = "".join(f"{_mark(kind, types)}{html.escape(kind)}<b>{counts[kind]:,}</b></mark>" for kind in types)
    style = resources.files("recsys_bert.evaluation.report").joinpath("page.css").read_text(encoding="utf-8") + _STYLE
    head = (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head><body><main>'
        f'<h1>{html.escape(title)}</h1><p class="protocol">texts: {len(answers):,}, entities: {counts.total():,}; a '
        f'score is shown where one points.</p><p class="text key">{key}</p><section>'
    )
    body = "\n".join(f'<div class="text">{_marked(line, text, found, types)}</div>' for line, text, found in answers)
    with replacing(path) as aside:
        aside.write_text(f"{head}\n{body}\n</section></main></body></html>\n", encoding="utf-8")


def _marked(line: int, text: str, found: "Sequence[Found]", types: Sequence[str]) -> str:
    scores = iter([one.score for one in _nested(found)])
    shown = [f'<span class="line">{line}</span>']
    for part, opens, kind in _pieces(text, found):
        if opens is None:
            shown.append(html.escape(part))
        elif opens:
            shown.append(_mark(kind, types, f"{kind}, {next(scores):.3f}"))
        else:
            shown.append(f"<b>{html.escape(kind)}</b></mark>")
    for one in _crossing(found):
        inside = f"{html.escape(one.text)}<b>{html.escape(one.type)}</b></mark>"
        shown.append(f'<span class="also">also {_mark(one.type, types, f"{one.type}, {one.score:.3f}")}{inside}</span>')
    return "".join(shown)


def _mark(kind: str, types: Sequence[str], title: str = "") -> str:
    colour = COLOURS[types.index(kind) % len(COLOURS)]
    return f'<mark style="--type: {colour}"' + (f' title="{html.escape(title)}">' if title else ">")


def _nested(found: "Sequence[Found]") -> "list[Found]":
    """Entities that lie within one another or apart, by place, the longest first; see ``_crossing`` for the others."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.stop)):
        if not any(other.start < one.start < other.stop < one.stop for other in kept):
            kept.append(one)
    return kept


def _crossing(found: "Sequence[Found]") -> "list[Found]":
    """Entities that begin within another one and end behind it: marks cannot show those."""
    kept = _nested(found)
    return [one for one in found if one not in kept]


def _pieces(text: str, found: "Sequence[Found]") -> Iterator[tuple[str, bool | None, str]]:
    """Stretches of text ``(stretch, None, "")``, and where entities open ``("", True, type)`` and close."""
    place = 0
    waiting: list[Found] = []

    def until(stop: int) -> Iterator[tuple[str, bool | None, str]]:
        nonlocal place
        if stop > place:
            yield text[place:stop], None, ""
            place = stop

    for one in _nested(found):
        while waiting and waiting[-1].stop <= one.start:
            closed = waiting.pop()
            yield from until(closed.stop)
            yield "", False, closed.type
        yield from until(one.start)
        yield "", True, one.type
        waiting.append(one)
    while waiting:
        closed = waiting.pop()
        yield from until(closed.stop)
        yield "", False, closed.type
    yield from until(len(text))
