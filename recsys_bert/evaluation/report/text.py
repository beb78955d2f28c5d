"""Tables for the terminal: plain text, the best value of a column marked with a star."""

from recsys_bert.evaluation.report.evaluation_tables import all_tables, by_target, protocol_notes
from recsys_bert.evaluation.report.other_runs import ctr_runs, text_runs
from recsys_bert.evaluation.report.tables import Cell, Results, Table, with_rows
from recsys_bert.evaluation.report.verdict import verdict


def text(results: Results) -> str:
    """All tables, those of rankings each under the protocol that its numbers hold for, and the result in words."""
    line = results["protocol"]["line"]
    parts = [f"{table.title}\n{line}\n{lay_out(table)}" for table in all_tables(results)]
    others = with_rows([*by_target(results), ctr_runs(results), *text_runs(results)])
    parts += [f"{table.title}\n{table.description}\n{lay_out(table)}" for table in others]
    notes = [*protocol_notes(results), *results["notes"]]
    closing = [verdict(results)] if results["models"] else []
    return "\n\n".join([*parts, *(["\n".join([*closing, *notes])] if closing or notes else [])])


def lay_out(table: Table) -> str:
    """One table as aligned lines; intervals stand beside their mean."""
    best = table.best()
    head = [[table.first, *(column.name for column in table.columns)], ["", *(c.under for c in table.columns)]]
    body = [
        [
            row.name + (" (baseline)" if row.kind == "baseline" else ""),
            *(_flat(cell, (i, j) in best) for j, cell in enumerate(row.cells)),
        ]
        for i, row in enumerate(table.rows)
    ]
    left = [True, *(column.words for column in table.columns)]
    widths = [max(len(line[at]) for line in [*head, *body]) for at in range(len(left))]
    rule = ["-" * width for width in widths]
    lines = [
        "  ".join(
            f"{cell:<{w}}" if is_left else f"{cell:>{w}}" for cell, w, is_left in zip(line, widths, left, strict=True)
        )
        for line in [*(line for line in head if any(line)), rule, *body]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _flat(cell: Cell, best: bool) -> str:
    star = "*" if best else " "  # the blank keeps the decimals of a column aligned
    return cell.text + star + (f" {cell.under}" if cell.under else "")
