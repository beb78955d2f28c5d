"""Texts with marked entities: in colour on a terminal, and as one self-contained HTML page."""

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_bert.evaluation.report.pictures import COLOURS
from recsys_bert.terminal import printable

if TYPE_CHECKING:
    from rich.text import Text

    from nlp_tasks.tagging.entities import Entity

TaggedText = tuple[int, str, "Sequence[Entity]"]
"""Line, text and its entities."""

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


def print_texts(tagged: Sequence[TaggedText], types: Sequence[str]) -> None:
    """Print every text with its entities as ``[Ada Lovelace PER]``, in colour where stdout is a terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    width = len(str(max((line for line, _, _ in tagged), default=0)))
    for line, text, entities in tagged:
        console.print(_coloured(f"{line:>{width}}  ", text, entities, types))


def _coloured(prefix: str, text: str, entities: "Sequence[Entity]", types: Sequence[str]) -> "Text":
    from rich.text import Text

    styled = Text().append(prefix, style="dim")  # a Text's own style would hold for all of it
    open_types: list[str] = []
    for part, opens, kind in _pieces(text, entities):
        if opens is None:
            styled.append(printable(part), style=_colour(open_types[-1], types) if open_types else "")
        elif opens:
            open_types.append(kind)
            styled.append("[", style="dim")
        else:
            style = f"bold {_colour(open_types.pop(), types)}"
            styled.append(f" {printable(kind, one_line=True)}", style=style).append("]", style="dim")
    for one in _crossing(entities):
        also = printable(f"also [{one.text} {one.type}]")
        styled.append(f"\n{'':{len(prefix)}}{also}", style="dim")
    return styled


def _colour(kind: str, types: Sequence[str]) -> str:
    return _TERMINAL[types.index(kind) % len(_TERMINAL)]


def write_page(path: Path, tagged: Sequence[TaggedText], types: Sequence[str], title: str) -> None:
    """Write every text with its entities marked, one colour per type, as one HTML page; atomically."""
    from recsys_bert.files import replacing

    counts = Counter(one.type for _, _, entities in tagged for one in entities)
    key = "".join(f"{_mark(kind, types)}{html.escape(kind)}<b>{counts[kind]:,}</b></mark>" for kind in types)
    style = resources.files("recsys_bert.evaluation.report").joinpath("page.css").read_text(encoding="utf-8") + _STYLE
    head = (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head><body><main>'
        f'<h1>{html.escape(title)}</h1><p class="protocol">texts: {len(tagged):,}, entities: {counts.total():,}; a '
        f'score is shown where one points.</p><p class="text key">{key}</p><section>'
    )
    body = "\n".join(
        f'<div class="text">{_marked(line, text, entities, types)}</div>' for line, text, entities in tagged
    )
    with replacing(path) as temporary:
        temporary.write_text(f"{head}\n{body}\n</section></main></body></html>\n", encoding="utf-8")


def _marked(line: int, text: str, entities: "Sequence[Entity]", types: Sequence[str]) -> str:
    scores = iter([one.score for one in _nested(entities)])
    spans = [f'<span class="line">{line}</span>']
    for part, opens, kind in _pieces(text, entities):
        if opens is None:
            spans.append(html.escape(part))
        elif opens:
            spans.append(_mark(kind, types, f"{kind}, {next(scores):.3f}"))
        else:
            spans.append(f"<b>{html.escape(kind)}</b></mark>")
    for one in _crossing(entities):
        inside = f"{html.escape(one.text)}<b>{html.escape(one.type)}</b></mark>"
        spans.append(f'<span class="also">also {_mark(one.type, types, f"{one.type}, {one.score:.3f}")}{inside}</span>')
    return "".join(spans)


def _mark(kind: str, types: Sequence[str], title: str = "") -> str:
    colour = COLOURS[types.index(kind) % len(COLOURS)]
    return f'<mark style="--type: {colour}"' + (f' title="{html.escape(title)}">' if title else ">")


def _nested(entities: "Sequence[Entity]") -> "list[Entity]":
    """Entities without crossings, by position, the longest first; see ``_crossing`` for the others."""
    nested: list[Entity] = []
    for one in sorted(entities, key=lambda one: (one.start, -one.stop)):
        if not any(other.start < one.start < other.stop < one.stop for other in nested):
            nested.append(one)
    return nested


def _crossing(entities: "Sequence[Entity]") -> "list[Entity]":
    """Entities that begin within another one and end behind it, which nested marks cannot show."""
    nested = _nested(entities)
    return [one for one in entities if one not in nested]


def _pieces(text: str, entities: "Sequence[Entity]") -> Iterator[tuple[str, bool | None, str]]:
    """Pieces of text ``(piece, None, "")``, and opening ``("", True, type)`` and closing marks of entities."""
    position = 0
    open_entities: list[Entity] = []

    def until(stop: int) -> Iterator[tuple[str, bool | None, str]]:
        nonlocal position
        if stop > position:
            yield text[position:stop], None, ""
            position = stop

    for one in _nested(entities):
        while open_entities and open_entities[-1].stop <= one.start:
            closed = open_entities.pop()
            yield from until(closed.stop)
            yield "", False, closed.type
        yield from until(one.start)
        yield "", True, one.type
        open_entities.append(one)
    while open_entities:
        closed = open_entities.pop()
        yield from until(closed.stop)
        yield "", False, closed.type
    yield from until(len(text))
