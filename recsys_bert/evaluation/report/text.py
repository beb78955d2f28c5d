"""Tables for the terminal: plain text, the best figure of a column marked with a star."""

from recsys_bert.evaluation.report.tables import Cell, Results, Table, all_tables


def text(results: Results) -> str:
    """All tables, each under the protocol that its numbers hold for."""
    line = results["protocol"]["line"]
    return "\n\n".join(f"{table.title}\n{line}\n{lay_out(table)}" for table in all_tables(results))


def lay_out(table: Table) -> str:
    """One table as aligned lines; intervals stand beside their figure."""
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
    star = "*" if best else " "  # a place for the star in every row keeps the decimals below each other
    return cell.text + star + (f" {cell.under}" if cell.under else "")
