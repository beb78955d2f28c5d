"""The evaluation's report as one HTML file."""

import json
from html import escape

from recsys_bert.evaluation.report import evaluation_tables as tables
from recsys_bert.evaluation.report.document import document, figure, grid, section, table_section
from recsys_bert.evaluation.report.other_runs import ctr_runs, text_runs
from recsys_bert.evaluation.report.pictures import available, pictures
from recsys_bert.evaluation.report.tables import Results
from recsys_bert.evaluation.report.verdict import verdict

_NO_PICTURES = "Pictures need matplotlib: pip install 'recsys-bert[report]', then run evaluate again."
_TRAINING = (
    "Training loss, averaged over the steps since the point before, and the validation metric, from metrics.jsonl."
)
_FUSION = "Weights of the encoder's layers in its fusion; state 0 is the embedding."


def page(results: Results) -> str:
    """Lay out all results; sections without numbers are left out."""
    svgs = pictures(results) if available() else {}
    line = results["protocol"]["line"]
    sections = [
        section("accuracy", table_section(tables.accuracy(results), line)),
        section("kinds of target", "".join(table_section(table) for table in tables.by_target(results))),
        section("recall over k", _every_k(results, svgs)),
        section("significance", table_section(tables.significance(results), line)),
        section("beyond accuracy", table_section(tables.beyond(results), line)),
        section("breakdowns", _breakdowns(results)),
        section("indexes", table_section(tables.indexes(results), line) + figure(svgs.get("indexes"))),
        section("training", _pictured("Training", _TRAINING, svgs.get("training"))),
        section("layer fusion", _pictured("Layer fusion", _FUSION, svgs.get("fusion"))),
        section("click-through rate", table_section(ctr_runs(results))),
        section("text models", "".join(table_section(table) for table in text_runs(results))),
        section("users and targets", table_section(tables.held_out(results), line)),
        section("settings", _settings(results)),
    ]
    no_pictures = [] if svgs or available() else [_NO_PICTURES]
    return document(
        f"Offline report: {results['data']}",
        line,
        verdict(results),
        sections,
        tiles=_tiles(results),
        notes=[*tables.protocol_notes(results), *results["notes"], *no_pictures],
    )


def summary(results: Results) -> str:
    """The headline table with its protocol as an HTML fragment, for notebooks."""
    parts = [escape(text) for text in (results["protocol"]["line"], *tables.protocol_notes(results), verdict(results))]
    return f"<div>{grid(tables.accuracy(results))}" + "".join(f"<p>{part}</p>" for part in parts) + "</div>"


def _tiles(results: Results) -> str:
    protocol = results["protocol"]
    skipped = sum(results["skipped"].values())
    tiles = [
        (f"{protocol['users']:,}", "users"),
        (f"{skipped:,}", "users skipped, by reason below"),
        (f"{protocol['items']:,}", "items ranked, all of them"),
        (f"{protocol['targets']:,}", "targets"),
        (f"{protocol['targets_unknown'] + protocol['targets_cold']:,}", "of them cold or unknown"),
    ]
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in tiles)
        + "</div>"
    )


def _every_k(results: Results, svgs: dict[str, str]) -> str:
    with_rows = [table for table in tables.every_k(results) if table.rows]
    if not with_rows:
        return ""
    parts = "".join(f'<div class="scroll"><h3>{table.title}</h3>{grid(table)}</div>' for table in with_rows)
    layout = "grid" if len(results["ks"]) <= 4 else "stack"
    head = "<h2>At every k</h2><p class='says'>Recall as the list grows, then every metric with its interval.</p>"
    line = f'<p class="protocol">{escape(results["protocol"]["line"])}</p>'
    return f'{head}{figure(svgs.get("recall_curve"))}<div class="{layout}">{parts}</div>{line}'


def _breakdowns(results: Results) -> str:
    parts = (tables.by_training_events(results), tables.by_history(results), tables.by_popularity(results))
    line = results["protocol"]["line"]
    return "<br>".join(table_section(table, line) for table in parts if table is not None)


def _settings(results: Results) -> str:
    text = escape(json.dumps(results["config"], indent=2, ensure_ascii=False))
    return f"<details><summary>Settings of this evaluation</summary><pre>{text}</pre></details>"


def _pictured(title: str, description: str, svg: str | None) -> str:
    return f'<h2>{title}</h2><p class="says">{description}</p>{figure(svg)}' if svg else ""
