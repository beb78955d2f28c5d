"""The report on a comparison of configurations, for page and terminal."""

import json
from html import escape

from recsys_bert.evaluation.report.comparison_pictures import pictures
from recsys_bert.evaluation.report.comparison_tables import convergence, differences, metrics, title_line, verdict
from recsys_bert.evaluation.report.document import document, figure, grid, section, table_section
from recsys_bert.evaluation.report.pictures import available
from recsys_bert.evaluation.report.tables import Results, with_rows
from recsys_bert.evaluation.report.text import lay_out

_NO_PICTURES = "Pictures need matplotlib: pip install 'recsys-bert[report]', then run compare again."


def page(results: Results) -> str:
    """Lay out all results."""
    svgs: dict[str, str] = {}
    if available():
        svgs = pictures(results)
    settings = escape(json.dumps(results["config"], indent=2, ensure_ascii=False))
    sections = [
        section("test", table_section(metrics(results)) + figure(svgs.get("metrics"))),
        section("significance", table_section(differences(results))),
        section("convergence", table_section(convergence(results)) + figure(svgs.get("curves"))),
        section("settings", f"<details><summary>Settings of this comparison</summary><pre>{settings}</pre></details>"),
    ]
    notes = [*_failures(results), *([] if svgs else [_NO_PICTURES])]
    return document(f"Comparison: {results['title']}", title_line(results), verdict(results), sections, notes=notes)


def summary(results: Results) -> str:
    """The test metrics with their protocol as an HTML fragment, for notebooks."""
    parts = "".join(f"<p>{escape(text)}</p>" for text in (title_line(results), verdict(results)))
    return f"<div>{grid(metrics(results))}{grid(differences(results))}{parts}</div>"


def text(results: Results) -> str:
    """All results as plain text."""
    tables = with_rows([metrics(results), differences(results), convergence(results)])
    parts = [f"{table.title}\n{table.description}\n{lay_out(table)}" for table in tables]
    return "\n\n".join([title_line(results), *parts, *_failures(results), verdict(results)])


def _failures(results: Results) -> list[str]:
    return [f"Failed: {run['run']}: {run['why']}" for run in results["failed"]]
