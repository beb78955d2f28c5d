"""The report as one HTML file: style and pictures inside, nothing fetched."""

import json
from collections.abc import Sequence
from html import escape
from importlib import resources

from recsys_bert.evaluation.report import tables
from recsys_bert.evaluation.report.pictures import available, pictures
from recsys_bert.evaluation.report.tables import Results, Table

_NO_PICTURES = "Pictures need matplotlib: pip install 'recsys-bert[report]', then run evaluate again."


def page(results: Results) -> str:
    """Lay out everything that the results hold; sections without numbers are left out."""
    drawn = pictures(results) if available() else {}
    sections = [
        section("accuracy", _table(tables.accuracy(results), results)),
        section("recall over k", _every_k(results, drawn)),
        section("significance", _table(tables.significance(results), results)),
        section("beyond accuracy", _table(tables.beyond(results), results)),
        section("breakdowns", _breakdowns(results)),
        section("indexes", _table(tables.indexes(results), results) + figure(drawn.get("indexes"))),
        section("training", _pictured("Training", _TRAINING_SAYS, drawn.get("training"))),
        section("layer fusion", _pictured("Layer fusion", _FUSION_SAYS, drawn.get("fusion"))),
        section("who was asked", _table(tables.asked(results), results)),
        section("settings", _settings(results)),
    ]
    return document(
        f"Offline report: {results['data']}",
        results["protocol"]["line"],
        verdict(results),
        sections,
        tiles=_tiles(results),
        notes=[*results["notes"], *([] if drawn or available() else [_NO_PICTURES])],
    )


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
        sections: As ``section`` makes them; empty ones are left out.
        tiles: HTML below the links.
        notes: What the reader has to know first.
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


_TRAINING_SAYS = "Loss of every logged step, and the figure that chose the checkpoint, from metrics.jsonl."
_FUSION_SAYS = "What the encoder makes of its own layers; state 0 is the embedding."


def verdict(results: Results) -> str:
    """The result in one or two sentences."""
    k = results["headline_k"]
    measure = f"ndcg@{k}"
    ranked = [m for m in results["models"] if m["kind"] in ("run", "baseline") and m["metrics"].get(measure)]
    ranked.sort(key=lambda m: -m["metrics"][measure]["value"])
    if not ranked:
        return "Nothing was ranked."
    best = ranked[0]
    metrics = best["metrics"]
    says = (
        f"{best['name']} ranks best: recall@{k} {metrics[f'recall@{k}']['value']:.4f}, "
        f"NDCG@{k} {metrics[measure]['value']:.4f}."
    )
    baselines = [m for m in ranked if m["kind"] == "baseline"]
    if best["kind"] == "baseline":
        return says + (
            " No run beats this baseline; look for a bug before anything else." if len(ranked) > len(baselines) else ""
        )
    if baselines:
        second = baselines[0]
        gain = (
            metrics[measure]["value"] / second["metrics"][measure]["value"] - 1
            if second["metrics"][measure]["value"]
            else None
        )
        says += f" The best baseline is {second['name']} with NDCG@{k} {second['metrics'][measure]['value']:.4f}"
        says += f" ({100 * gain:+.0f} % for {best['name']})." if gain is not None else "."
    return says


def _tiles(results: Results) -> str:
    protocol = results["protocol"]
    skipped = sum(results["skipped"].values())
    metrics = [
        (f"{protocol['users']:,}", "users asked"),
        (f"{skipped:,}", "users skipped, by reason below"),
        (f"{protocol['items']:,}", "items ranked, all of them"),
        (f"{protocol['targets']:,}", "targets"),
        (f"{protocol['targets_unknown'] + protocol['targets_cold']:,}", "of them cold or unknown"),
    ]
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in metrics)
        + "</div>"
    )


def _every_k(results: Results, drawn: dict[str, str]) -> str:
    parts = "".join(
        f'<div class="scroll"><h3>{table.title}</h3>{grid(table)}</div>' for table in tables.every_k(results)
    )
    layout = "grid" if len(results["ks"]) <= 4 else "stack"
    head = "<h2>At every k</h2><p class='says'>Recall as the list grows, then every measure with its interval.</p>"
    return f'{head}{figure(drawn.get("recall_curve"))}<div class="{layout}">{parts}</div>{_protocol(results)}'


def _breakdowns(results: Results) -> str:
    both = (tables.by_history(results), tables.by_popularity(results))
    return "<br>".join(_table(table, results) for table in both if table is not None)


def _settings(results: Results) -> str:
    shown = escape(json.dumps(results["config"], indent=2, ensure_ascii=False))
    return f"<details><summary>Settings of this evaluation</summary><pre>{shown}</pre></details>"


def _pictured(title: str, says: str, svg: str | None) -> str:
    return f'<h2>{title}</h2><p class="says">{says}</p>{figure(svg)}' if svg else ""


def _table(table: Table | None, results: Results) -> str:
    if table is None or not table.rows:
        return ""
    return (
        f'<h2>{escape(table.title)}</h2><p class="says">{escape(table.says)}</p>'
        f'<div class="scroll">{grid(table)}</div>{_protocol(results)}'
    )


def grid(table: Table) -> str:
    """One table; the best figure of a column is marked."""
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
    chosen = " ".join(name for name, wanted in names.items() if wanted)
    return f' class="{chosen}"' if chosen else ""


def _protocol(results: Results) -> str:
    return f'<p class="protocol">{escape(results["protocol"]["line"])}</p>'


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
