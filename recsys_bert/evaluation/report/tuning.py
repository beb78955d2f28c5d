"""The report on a search for settings, for page and terminal."""

import json
from html import escape
from typing import Any

from recsys_bert.evaluation.report.document import document, figure, grid, section, table_section
from recsys_bert.evaluation.report.pictures import available
from recsys_bert.evaluation.report.tables import Cell, Column, Results, Row, Table, number, percent, with_rows
from recsys_bert.evaluation.report.text import lay_out
from recsys_bert.evaluation.report.tuning_pictures import pictures

_NO_PICTURES = "Pictures need matplotlib: pip install 'recsys-bert[report]', then run tune again."
_TOP = 10  # trials in the terminal and in notebooks


def page(results: Results) -> str:
    """Lay out all results."""
    svgs: dict[str, str] = pictures(results) if available() else {}
    settings = escape(json.dumps({"space": results["space"], **results["config"]}, indent=2, ensure_ascii=False))
    sections = [
        section("history", "<h2>History</h2>" + figure(svgs.get("history")) if "history" in svgs else ""),
        section("importance", table_section(importance(results)) + figure(svgs.get("importance"))),
        section("settings", "<h2>Values tried</h2>" + figure(svgs.get("slices")) if "slices" in svgs else ""),
        section("epochs", "<h2>Validation by epoch</h2>" + figure(svgs.get("curves")) if "curves" in svgs else ""),
        section("trials", table_section(trials(results, len(results["trials"])))),
        section(
            "search", f"<details><summary>Space and settings of the search</summary><pre>{settings}</pre></details>"
        ),
    ]
    notes = [*_failures(results), *([] if svgs else [_NO_PICTURES])]
    return document(f"Search: {results['title']}", title_line(results), verdict(results), sections, notes=notes)


def summary(results: Results) -> str:
    """The best trials as an HTML fragment, for notebooks."""
    parts = "".join(f"<p>{escape(text)}</p>" for text in (title_line(results), verdict(results)))
    return f"<div>{grid(trials(results, _TOP))}{parts}</div>"


def text(results: Results) -> str:
    """The best trials and the importance of settings as plain text."""
    tables = with_rows([trials(results, _TOP), importance(results)])
    parts = [f"{table.title}\n{table.description}\n{lay_out(table)}" for table in tables]
    return "\n\n".join([title_line(results), *parts, *_failures(results), verdict(results)])


def title_line(results: Results) -> str:
    """The protocol: what was trained, how many trials, by which metric, machine."""
    config, n = results["config"], len(results["trials"])
    states = [trial["state"] for trial in results["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    how = f"sampler {config['sampler']}, pruner {config['pruner']}"
    return (
        f"{results['title']} · {n} trials: {counts} · by validation {results['monitor']} · {how} · {results['machine']}"
    )


def verdict(results: Results) -> str:
    """The best trial beside the recipe, in words."""
    best, recipe = results["best"], results["recipe"]
    if best is None:
        return "No trial is complete yet."
    sentence = f"Best validation {results['monitor']}: {best['value']:.4f}, trial {best['number']}."
    if recipe is not None and recipe["number"] != best["number"]:
        sentence += f" The recipe's own settings: {recipe['value']:.4f} ({best['value'] - recipe['value']:+.4f})."
    elif recipe is not None:
        sentence += " These are the recipe's own settings."
    return sentence + " It was chosen on these validation data, so its value is too good by chance; test it on others."


def trials(results: Results, most: int) -> Table:
    """The best trials first; then, by number, those without a result."""
    sign = -1 if results["higher_is_better"] else 1
    order = sorted(
        results["trials"],
        key=lambda one: (one["value"] is None, sign * (one["value"] or 0.0), one["number"]),
    )
    columns = [Column(results["monitor"], "validation"), *(Column(name, words=True) for name in results["space"])]
    columns += [Column("Epochs"), Column("Seconds"), Column("State", words=True)]
    title = "Trials" if most >= len(order) else f"The best {min(most, len(order))} of {len(order)} trials"
    table = Table(title, "Each by its best epoch on validation.", columns, first="trial")
    for one in order[:most]:
        state = one["state"] if one["same_as"] is None else f"as trial {one['same_as']}"
        cells = [number(one["value"]), *(Cell(value_text(one["values"].get(name))) for name in results["space"])]
        cells += [Cell(str(one["epochs"] or "–")), number(one["seconds"], 0), Cell(state)]
        mark = " (the recipe)" if one["is_recipe"] else ""
        table.rows.append(Row(f"{one['number']}{mark}", "trial", cells))
    return table


def importance(results: Results) -> Table:
    """Importance of every setting."""
    description = (
        "PED-ANOVA: share of each setting in the spread of results. Settings that were hardly varied look unimportant."
    )
    table = Table("Importance", description, [Column("Share", "", "higher")], first="setting")
    for name, share in results["importance"].items():
        table.rows.append(Row(name, "setting", [percent(share)]))
    return table


def value_text(value: Any) -> str:
    """A value as in a recipe, numbers shortened."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _failures(results: Results) -> list[str]:
    return [
        f"Failed: trial {one['number']}: {one['why']}"
        for one in results["trials"]
        if one["state"] == "failed" and one["same_as"] is None
    ]
