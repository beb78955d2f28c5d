"""One HTML file: style and pictures inside, nothing fetched."""

from collections.abc import Sequence
from html import escape
from importlib import resources

from recsys_bert.evaluation.report.tables import Table


def document(
    title: str,
    under: str,
    lead: str,
    sections: Sequence[tuple[str, str]],
    *,
    tiles: str = "",
    notes: Sequence[str] = (),
) -> str:
    """A whole page.

    Args:
        title: Heading.
        under: Small line below it.
        lead: The result in a sentence.
        sections: From ``section``; empty ones are left out.
        tiles: HTML below the links.
        notes: Lines above the sections.
    """
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name, body in sections if body)
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head><body><main>'
        f'<h1>{escape(title)}</h1><p class="protocol">{escape(under)}</p>'
        f'<p class="lead">{escape(lead)}</p><nav>{links}</nav>{tiles}'
        + "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
        + "".join(body for _, body in sections)
        + "</main></body></html>\n"
    )


def grid(table: Table) -> str:
    """One table; the best value of a column is marked."""
    best = table.best()
    head = "".join(f"<th{_class(words=c.words)}>{escape(c.name)}{_small(c.under)}</th>" for c in table.columns)
    lines = []
    for i, row in enumerate(table.rows):
        kinds = [_class(best=(i, j) in best, words=column.words) for j, column in enumerate(table.columns)]
        cells = "".join(
            f"<td{kind}>{escape(cell.text)}{_small(cell.under)}</td>"
            for kind, cell in zip(kinds, row.cells, strict=True)
        )
        under = {"baseline": "baseline", "best_possible": "simulator's oracle"}.get(row.kind, "")
        lines.append(f'<tr class="{row.kind}"><th>{escape(row.name)}{_small(under)}</th>{cells}</tr>')
    return f"<table><thead><tr><th>{escape(table.first)}</th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _class(**names: bool) -> str:
    classes = " ".join(name for name, is_set in names.items() if is_set)
    return f' class="{classes}"' if classes else ""


def table_section(table: Table | None, protocol: str = "") -> str:
    """A table with its title, description and, below it, the protocol; nothing without rows."""
    if table is None or not table.rows:
        return ""
    description = f'<p class="says">{escape(table.description)}</p>' if table.description else ""
    body = f'<h2>{escape(table.title)}</h2>{description}<div class="scroll">{grid(table)}</div>'
    return body + (f'<p class="protocol">{escape(protocol)}</p>' if protocol else "")


def section(name: str, body: str) -> tuple[str, str]:
    """A part of the page with its name among the links; nothing without a body."""
    return name, f'<section id="{_anchor(name)}">{body}</section>' if body else ""


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def figure(svg: str | None) -> str:
    """A picture, where there is one."""
    return f"<figure>{svg}</figure>" if svg else ""


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""
