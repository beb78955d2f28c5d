"""The report on a comparison of cells: tables for page and terminal, and the page."""

import json
from html import escape
from typing import Any

from recsys_bert.evaluation.report.page import document, figure, grid, section
from recsys_bert.evaluation.report.pictures import available
from recsys_bert.evaluation.report.tables import Cell, Column, Results, Row, Table, number, p_value
from recsys_bert.evaluation.report.text import lay_out

_MOST_EPOCHS = 6  # columns of the table; the picture has all of them
_NO_PICTURES = "Pictures need matplotlib: pip install 'recsys-bert[report]', then run compare again."


def page(results: Results) -> str:
    """Lay out everything that the results hold."""
    drawn = {}
    if available():
        from recsys_bert.evaluation.report.comparison_pictures import svgs

        drawn = svgs(results)
    shown = escape(json.dumps(results["config"], indent=2, ensure_ascii=False))
    sections = [
        section("test", _table(metrics(results)) + figure(drawn.get("metrics"))),
        section("significance", _table(differences(results))),
        section("convergence", _table(convergence(results)) + figure(drawn.get("curves"))),
        section("settings", f"<details><summary>Settings of this comparison</summary><pre>{shown}</pre></details>"),
    ]
    notes = [*_failures(results), *([] if drawn else [_NO_PICTURES])]
    return document(f"Comparison: {results['title']}", line(results), verdict(results), sections, notes=notes)


def text(results: Results) -> str:
    """The same as plain text."""
    tables = [table for table in (metrics(results), differences(results), convergence(results)) if table.rows]
    parts = [f"{table.title}\n{table.says}\n{lay_out(table)}" for table in tables]
    return "\n\n".join([line(results), *parts, *_failures(results), verdict(results)])


def line(results: Results) -> str:
    """What one must know to read the figures."""
    seeds = "1 seed" if results["seeds"] == 1 else f"{results['seeds']} seeds"
    asked = f"test of {results['examples']:,} examples"
    return f"{results['title']} · {asked} · {len(results['cells'])} cells · {seeds} each · {results['machine']}"


def verdict(results: Results) -> str:
    """The result in a few words."""
    measure, done = results["measure"], [cell for cell in results["cells"] if cell["seeds"]]
    best = max(done, key=lambda cell: cell["metrics"][measure]["mean"])
    first = results["cells"][0]
    says = f"Highest mean {measure}: {best['name']}, {_spread(best['metrics'][measure])}."
    if not first["seeds"]:
        return f"{says} {first['name']}, which the others are compared with, failed."
    if best is not first:
        says += f" {first['name']}: {_spread(first['metrics'][measure])}."
    better, worse = (
        sum(one["p_holm"] < 0.05 and sign * one["difference"] > 0 for one in results["comparisons"]) for sign in (1, -1)
    )
    n = len(results["comparisons"])
    return says + (
        f" Of {n} other cells, over test examples {better} are significantly better and {worse} worse than it."
        if n
        else ""
    )


def metrics(results: Results) -> Table:
    """Test figures and costs of every cell."""
    names = list(next(cell["metrics"] for cell in results["cells"] if cell["seeds"]))
    names = [results["measure"], *(name for name in names if name != results["measure"])]
    columns = [Column(name, "test", "higher") for name in names]
    columns += [Column("Seconds", "a training"), Column("Parameters"), Column("Epoch kept"), Column("Seeds")]
    says = "Mean over seeds ± deviation; each run has the epoch that was best on validation."
    table = Table("Test figures", says, columns, first="cell")
    for cell in results["cells"]:
        costs = [_mean(cell["seconds"], 0), Cell("–" if not cell["seeds"] else f"{cell['parameters']:,}")]
        costs += [_mean(cell["best_epoch"], 1), Cell(f"{len(cell['seeds'])} of {results['seeds']}")]
        table.rows.append(Row(cell["name"], "cell", [*(_mean(cell["metrics"].get(name), 4) for name in names), *costs]))
    return table


def differences(results: Results) -> Table:
    """Every cell against the first one."""
    columns = [
        Column("Difference", f"{100 * results['level']:g} % interval"),
        Column("p", "randomisation test"),
        Column("p, corrected", "Holm, all cells"),
        Column("better / worse / tied", "examples"),
        Column("better", "seeds"),
    ]
    says = (
        f"{results['measure']} of the same test examples, paired; each example's values are averaged over the seeds "
        "first. The test speaks of examples, the last column of seeds."
    )
    table = Table(f"Against {results['cells'][0]['name']}", says, columns, first="cell")
    for one in results["comparisons"]:
        cells = [
            Cell(f"{one['difference']:+.4f}", f"{one['low']:+.4f} … {one['high']:+.4f}"),
            Cell(p_value(one["p_value"])),
            Cell(p_value(one["p_holm"]), "significant at 5 %" if one["p_holm"] < 0.05 else "not significant"),
            Cell(f"{one['better']:,} / {one['worse']:,} / {one['tied']:,}"),
            Cell(f"{one['seeds_better']} of {one['seeds_shared']}"),
        ]
        table.rows.append(Row(one["cell"], "comparison", cells))
    return table


def convergence(results: Results) -> Table:
    """The validation figure by epoch, and how many epochs it takes to reach the first cell's level."""
    monitor, target = results["monitor"], results["target"]
    epochs = sorted({point[0] for cell in results["cells"] for point in cell["curve"]})
    epochs = _thinned(epochs)
    columns = [Column(f"epoch {epoch}", "", "higher") for epoch in epochs]
    columns.append(Column("Best", "", "higher"))
    says = f"Validation {monitor}, mean over seeds, of the epochs that all seeds of a cell went through."
    if target is not None:
        columns.append(Column(f"Epochs to {target:.4f}", "", "lower"))
        says += f" Last column: epochs to {100 * results['target_share']:g} % of the first cell's mean best figure."
    table = Table("Convergence", says, columns, first="cell")
    for cell in results["cells"]:
        means = {epoch: mean for epoch, mean, _ in cell["curve"]}
        cells = [number(means.get(epoch)) for epoch in epochs] + [_mean(cell["best"], 4)]
        table.rows.append(Row(cell["name"], "cell", cells + ([_soonest(cell)] if target is not None else [])))
    return table if epochs else Table("Convergence", says, [])


def _soonest(cell: dict[str, Any]) -> Cell:
    """Mean number of epochs; none where a seed never got there, for it has no number of epochs to average."""
    reached = [epoch for epoch in cell["epochs_to_target"] if epoch is not None]
    if reached and len(reached) == len(cell["seeds"]):
        return number(sum(reached) / len(reached), 1)
    return Cell("–", f"{len(reached)} of {len(cell['seeds'])} seeds" if cell["seeds"] else "")


def _thinned(epochs: list[int]) -> list[int]:
    """The first, the last and evenly spread ones between."""
    n = len(epochs)
    if n <= _MOST_EPOCHS:
        return epochs
    return [epochs[round(at * (n - 1) / (_MOST_EPOCHS - 1))] for at in range(_MOST_EPOCHS)]


def _mean(entry: dict[str, Any] | None, digits: int) -> Cell:
    if entry is None or entry["mean"] is None:
        return Cell("–")
    under = "" if entry["deviation"] is None else f"± {entry['deviation']:.{digits}f}"
    return Cell(f"{entry['mean']:,.{digits}f}", under, entry["mean"])


def _spread(entry: dict[str, Any]) -> str:
    return f"{entry['mean']:.4f}" + ("" if entry["deviation"] is None else f" ± {entry['deviation']:.4f}")


def _failures(results: Results) -> list[str]:
    return [f"Failed: {one['run']}: {one['why']}" for one in results["failed"]]


def _table(table: Table) -> str:
    if not table.rows:
        return ""
    says = f'<p class="says">{escape(table.says)}</p>'
    return f'<h2>{escape(table.title)}</h2>{says}<div class="scroll">{grid(table)}</div>'
