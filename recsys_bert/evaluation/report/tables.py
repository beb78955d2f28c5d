"""The report's tables, once, for the page and for the terminal: results → rows of formatted cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Results = dict[str, Any]
"""What ``report.json`` holds; ``pipelines/evaluate.py`` describes it."""

NAMES = {"recall": "Recall", "ndcg": "NDCG", "hit": "Hit rate", "mrr": "MRR"}


@dataclass(frozen=True)
class Cell:
    """One figure: what is shown, what stands small below it, and the number that it is compared by."""

    text: str
    under: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """A heading, what stands small below it, which end is better (that figure is marked), words or figures."""

    name: str
    under: str = ""
    better: Literal["higher", "lower", ""] = ""
    words: bool = False


@dataclass(frozen=True)
class Row:
    """A row's name, its kind (``run``, ``baseline``, ``best_possible`` or another) and its cells."""

    name: str
    kind: str
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """A table with a title and one sentence on how to read it."""

    title: str
    says: str
    columns: list[Column]
    rows: list[Row] = field(default_factory=list)
    first: str = "model"

    def best(self) -> set[tuple[int, int]]:
        """Cells ``(row, column)`` that hold the best figure of their column; the best possible one takes no part."""
        found = set()
        for at, column in enumerate(self.columns):
            values = [
                (row.cells[at].value, number)
                for number, row in enumerate(self.rows)
                if row.kind != "best_possible" and row.cells[at].value is not None
            ]
            if column.better and len(values) > 1:
                pick = max if column.better == "higher" else min
                top = pick(value for value, _ in values)  # type: ignore[type-var]
                found |= {(number, at) for value, number in values if value == top}
        return found


def number(value: float | None, digits: int = 4, unit: str = "") -> Cell:
    """A figure with a fixed number of decimals, or a dash."""
    return Cell("–") if value is None else Cell(f"{value:,.{digits}f}{unit}", value=value)


def interval(entry: dict[str, Any] | None) -> Cell:
    """A mean with its interval below it."""
    if not entry or entry["value"] is None:
        return Cell("–")
    has_ends = entry.get("low") is not None
    under = f"{entry['low']:.4f}–{entry['high']:.4f}" if has_ends else ""
    return Cell(f"{entry['value']:.4f}", under, entry["value"])


def accuracy(results: Results) -> Table:
    """The headline: every model at one k."""
    k = results["headline_k"]
    measures = [f"{name}@{k}" for name in NAMES]
    cold = results["protocol"]["targets_unknown"] + results["protocol"]["targets_cold"] > 0
    columns = [Column(f"{name}@{k}", "", "higher") for name in NAMES.values()]
    if cold:
        columns += [Column(f"{name}@{k}", "warm targets only", "higher") for name in ("Recall", "NDCG")]
    columns.append(Column("users/s", "recommend", "higher"))
    table = Table(f"Accuracy at k = {k}", f"Mean over users, {_level(results)} interval below it.", columns)
    for model in results["models"]:
        cells = [interval(model["metrics"].get(measure)) for measure in measures]
        if cold:
            cells += [interval(model.get("warm", {}).get(f"{name}@{k}")) for name in ("recall", "ndcg")]
        cells.append(number(model.get("users_per_second"), 0))
        table.rows.append(Row(model["name"], model["kind"], cells))
    return table


def every_k(results: Results) -> list[Table]:
    """One table a measure, with all k side by side."""
    return [
        Table(
            name,
            "",
            [Column(f"@{k}", "", "higher") for k in results["ks"]],
            [
                Row(m["name"], m["kind"], [interval(m["metrics"].get(f"{measure}@{k}")) for k in results["ks"]])
                for m in results["models"]
                if m["metrics"]
            ],
        )
        for measure, name in NAMES.items()
    ]


def beyond(results: Results) -> Table:
    """Coverage, Gini, novelty, popularity."""
    k = results["headline_k"]
    shown: list[tuple[str, Column, Callable[[Any], Cell]]] = [
        ("coverage", Column(f"Coverage@{k}", "share of catalogue"), lambda v: _percent(v)),
        ("gini", Column(f"Gini@{k}", "0 = even exposure"), lambda v: number(v, 3)),
        ("novelty", Column(f"Novelty@{k}", "bits"), lambda v: number(v, 2)),
        ("popularity_bias", Column("Popularity bias", "shown ÷ taken; 1 = none"), lambda v: number(v, 2, "×")),
        ("head_share", Column("Head share", "top fifth of items"), lambda v: _percent(v)),
        ("list_length", Column("List length", f"of {k}"), lambda v: number(v, 1)),
    ]
    says = "What the first k recommendations do to the catalogue. None of these is good by itself."
    table = Table("Beyond accuracy", says, [column for _, column, _ in shown])
    for model in _with(results, "beyond"):
        table.rows.append(Row(model["name"], model["kind"], [form(model["beyond"][key]) for key, _, form in shown]))
    return table


def breakdown(results: Results, key: str, title: str, says: str, measure: str, counted: str) -> Table | None:
    """Models against groups, one measure; None where no model has it."""
    models = _with(results, key)
    if not models:
        return None
    groups = models[0][key]
    columns = [Column(line["group"], f"{line[counted]:,} {counted}", "higher") for line in groups]
    rows = [Row(m["name"], m["kind"], [number(line[measure]) for line in m[key]]) for m in models]
    return Table(title, says, columns, rows)


def by_history(results: Results) -> Table | None:
    """NDCG by the length of the history that is read."""
    k = results["headline_k"]
    says = f"NDCG@{k} by number of events in the user's history; quarters of the users."
    return breakdown(results, "by_history", "By history length", says, f"ndcg@{k}", "users")


def by_popularity(results: Results) -> Table | None:
    """Recall by the popularity of the target."""
    k = results["headline_k"]
    says = (
        f"Share of targets found among the first {k}, by training events of the target item; quarters of the targets."
    )
    return breakdown(results, "by_popularity", "By item popularity", says, f"recall@{k}", "targets")


def significance(results: Results) -> Table | None:
    """Paired comparisons."""
    if not results["comparisons"]:
        return None
    columns = [
        Column("Measure", words=True),
        Column("Difference", f"{_level(results)} interval"),
        Column("p", "randomisation test"),
        Column("p, corrected", "Holm, all comparisons"),
        Column("better / worse / tied", "users"),
    ]
    says = "Same users, paired. It speaks of users, not of training seeds."
    table = Table("Is the difference real?", says, columns, first="comparison")
    for line in results["comparisons"]:
        mask = line["p_holm"] < 0.05
        cells = [
            Cell(line["measure"]),
            Cell(f"{line['difference']:+.4f}", f"{line['low']:+.4f} … {line['high']:+.4f}"),
            Cell(p_value(line["p_value"])),
            Cell(p_value(line["p_holm"]), "significant at 5 %" if mask else "not significant"),
            Cell(f"{line['better']:,} / {line['worse']:,} / {line['tied']:,}"),
        ]
        table.rows.append(Row(f"{line['model']} − {line['against']}", "comparison", cells))
    return table


def indexes(results: Results) -> Table | None:
    """Exact search against every index."""
    if not results["indexes"]:
        return None
    k, headline = results["index_k"], results["headline_k"]
    columns = [
        Column("Run", words=True),
        Column(f"ANN recall@{k}", "of the exact list"),
        Column(f"Recall@{headline}", "end to end"),
        Column(f"Recall@{k}", "end to end"),
        Column("Queries/s", results["machine"], "higher"),
        Column("Memory", "MB", "lower"),
        Column("Build", "seconds"),
    ]
    says = f"Search for {k} items a user, user vectors ready; seen items are left out in every row."
    table = Table("Exact search against the indexes", says, columns, first="index")
    for line in results["indexes"]:
        cells = [
            Cell(line["run"]),
            number(line["ann_recall"]),
            number(line["headline_recall"]),
            number(line["recall"]),
            number(line["queries_per_second"], 0),
            number(None if line["bytes"] is None else line["bytes"] / 1e6, 2),
            number(line["build_seconds"], 2),
        ]
        table.rows.append(Row(line["factory"], "index", cells))
    return table


def asked(results: Results) -> Table:
    """Who was asked, what was wanted, and who was left out and why."""
    protocol = results["protocol"]
    lines: list[tuple[str, int, str]] = [
        ("users asked", protocol["users"], ""),
        (
            "cold users among them",
            protocol["users_cold"],
            "without an event to read; they get the fallback of each model",
        ),
        ("targets", protocol["targets"], "one item of one user counts once"),
        ("unknown targets", protocol["targets_unknown"], "not in the catalogue: always missed in the main figures"),
        ("cold targets", protocol["targets_cold"], "no training event: reachable by features only"),
        (
            "targets already seen",
            protocol["targets_seen"],
            "removed from every list with the seen items: always missed",
        ),
        *((f"skipped: {reason}", count, "users not asked") for reason, count in results["skipped"].items()),
    ]
    says = "Nobody is dropped silently; a miss that no model can avoid is still a miss."
    table = Table("Who was asked", says, [Column("count"), Column("meaning", words=True)], first="")
    table.rows.extend(Row(name, "count", [Cell(f"{count:,}"), Cell(meaning)]) for name, count, meaning in lines)
    return table


def all_tables(results: Results) -> Sequence[Table]:
    """What the terminal shows, in order."""
    wanted = [accuracy(results), significance(results), beyond(results), indexes(results)]
    return [table for table in wanted if table is not None and table.rows]


def _with(results: Results, key: str) -> list[dict[str, Any]]:
    return [model for model in results["models"] if model.get(key)]


def _percent(value: float | None) -> Cell:
    return Cell("–") if value is None else Cell(f"{100 * value:.1f} %", value=value)


def p_value(value: float) -> str:
    """A p-value as one writes it."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _level(results: Results) -> str:
    return f"{100 * results['level']:g} %"
