"""Tables of an evaluation, from its results."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from recsys_bert.evaluation.report.tables import (
    Cell,
    Column,
    Results,
    Row,
    Table,
    corrected_by,
    interval,
    number,
    p_value,
    percent,
    with_rows,
)

NAMES = {"recall": "Recall", "ndcg": "NDCG", "hit": "Hit rate", "mrr": "MRR"}
"""Metrics of the headline."""
MORE_NAMES = {"precision": "Precision", "map": "MAP", "graded_ndcg": "Graded NDCG"}
"""Further ones; graded NDCG where events have weights."""
LEVEL = 0.05
"""Corrected p-values below it are called significant."""


def accuracy(results: Results) -> Table:
    """The headline: every model at one k."""
    k = results["headline_k"]
    metrics = [f"{name}@{k}" for name in NAMES]
    cold = results["protocol"]["targets_unknown"] + results["protocol"]["targets_cold"] > 0
    columns = [Column(f"{name}@{k}", "", "higher") for name in NAMES.values()]
    if cold:
        columns += [Column(f"{name}@{k}", "warm targets only", "higher") for name in ("Recall", "NDCG")]
    columns.append(Column("users/s", "recommend", "higher"))
    table = Table(f"Accuracy at k = {k}", f"Mean over users, {_level(results)} interval below it.", columns)
    for model in results["models"]:
        cells = [interval(model["metrics"].get(metric)) for metric in metrics]
        if cold:
            cells += [interval(model.get("warm", {}).get(f"{name}@{k}")) for name in ("recall", "ndcg")]
        cells.append(number(model.get("users_per_second"), 0))
        table.rows.append(Row(model["name"], model["kind"], cells))
    return table


def by_target(results: Results) -> list[Table]:
    """The same metrics for other kinds of target, and for users without a history: two tables each."""
    parts = [*results.get("by_target", [])[1:], *([results["new_users"]] if results.get("new_users") else [])]
    tables = []
    for part in parts:
        own = accuracy({**results, **part})
        title = "Users without a history" if part["targets"] == "new users" else f"Targets: {part['targets']}"
        tables.append(Table(title, part["protocol"]["line"], own.columns[:-1], _without_last(own.rows)))
        if (by_events := by_training_events({**results, **part})) is not None:
            tables.append(replace(by_events, title=f"{title}, by training events of the target"))
    return tables


def _without_last(rows: Sequence[Row]) -> list[Row]:
    return [Row(row.name, row.kind, row.cells[:-1]) for row in rows]


def every_k(results: Results) -> list[Table]:
    """One table a metric, with all k side by side."""
    return [
        Table(
            name,
            "",
            [Column(f"@{k}", "", "higher") for k in results["ks"]],
            [
                Row(m["name"], m["kind"], [interval(m["metrics"].get(f"{metric}@{k}")) for k in results["ks"]])
                for m in results["models"]
                if m["metrics"]
            ],
        )
        for metric, name in {**NAMES, **MORE_NAMES}.items()
        if any(f"{metric}@{k}" in m["metrics"] for m in results["models"] for k in results["ks"])
    ]


def further(results: Results) -> Table:
    """Precision, MAP and graded NDCG at the headline k."""
    k = results["headline_k"]
    names = {
        key: name for key, name in MORE_NAMES.items() if any(f"{key}@{k}" in m["metrics"] for m in results["models"])
    }
    description = (
        "Mean over users. Gains of graded NDCG are the events' weights."
        if "graded_ndcg" in names
        else "Mean over users."
    )
    table = Table("Further metrics", description, [Column(f"{name}@{k}", "", "higher") for name in names.values()])
    for model in results["models"]:
        cells = [interval(model["metrics"].get(f"{key}@{k}")) for key in names]
        table.rows.append(Row(model["name"], model["kind"], cells))
    return table if names else Table(table.title, "", [])


def beyond(results: Results) -> Table:
    """Coverage, Gini, novelty, popularity."""
    k = results["headline_k"]
    columns: list[tuple[str, Column, Callable[[Any], Cell]]] = [
        ("coverage", Column(f"Coverage@{k}", "share of catalogue"), lambda v: percent(v)),
        ("gini", Column(f"Gini@{k}", "0 = even exposure"), lambda v: number(v, 3)),
        ("novelty", Column(f"Novelty@{k}", "bits"), lambda v: number(v, 2)),
        ("popularity_bias", Column("Popularity bias", "recommended ÷ targets; 1 = none"), lambda v: number(v, 2, "×")),
        ("head_share", Column("Head share", "top fifth of items"), lambda v: percent(v)),
        ("list_length", Column("List length", f"of {k}"), lambda v: number(v, 1)),
    ]
    description = "Catalogue metrics of the first k recommendations. None of these is good by itself."
    table = Table("Beyond accuracy", description, [column for _, column, _ in columns])
    for model in _with(results, "beyond"):
        table.rows.append(Row(model["name"], model["kind"], [form(model["beyond"][key]) for key, _, form in columns]))
    return table


def breakdown(results: Results, key: str, title: str, description: str, metric: str, unit: str) -> Table | None:
    """One metric of all models by group; None where no model has it."""
    models = _with(results, key)
    if not models:
        return None
    groups = models[0][key]
    columns = [Column(line["group"], f"{line[unit]:,} {unit}", "higher") for line in groups]
    rows = [Row(m["name"], m["kind"], [number(line[metric]) for line in m[key]]) for m in models]
    return Table(title, description, columns, rows)


def by_history(results: Results) -> Table | None:
    """NDCG by the length of the history."""
    k = results["headline_k"]
    description = f"NDCG@{k} by number of events in the user's history; quarters of the users."
    return breakdown(results, "by_history", "By history length", description, f"ndcg@{k}", "users")


def by_popularity(results: Results) -> Table | None:
    """Recall by the popularity of the target."""
    k = results["headline_k"]
    description = (
        f"Share of targets among the first {k}, by training events of the target item; quarters of the targets."
    )
    return breakdown(results, "by_popularity", "By item popularity", description, f"recall@{k}", "targets")


def by_training_events(results: Results) -> Table | None:
    """Recall and NDCG by the training events of the target; None where no model has them."""
    models = _with(results, "by_training_events")
    if not models:
        return None
    k, groups = results["headline_k"], models[0]["by_training_events"]
    columns = [
        Column(f"{name}@{k}", f"{line['group']} events, {line['predictions']:,}", "higher")
        for line in groups
        for name in ("Recall", "NDCG")
    ]
    description = (
        "By training events of the target's item, with the predictions that have such a target. Each target counts by "
        "itself, with an ideal list of one."
    )
    table = Table("By training events of the target", description, columns)
    for model in models:
        lines = model["by_training_events"]
        cells = [number(line[metric]) for line in lines for metric in (f"recall@{k}", f"ndcg@{k}")]
        table.rows.append(Row(model["name"], model["kind"], cells))
    return table


def significance(results: Results) -> Table | None:
    """Paired comparisons."""
    if not results["comparisons"]:
        return None
    columns = [
        Column("Metric", words=True),
        Column("Difference", f"{_level(results)} interval"),
        Column("p", "randomisation test"),
        Column("p, corrected", corrected_by(results, "all comparisons")),
        Column("better / worse / tied", "users"),
    ]
    description = "Same users, paired. The test covers chance in the choice of users, not of training seeds."
    table = Table("Significance", description, columns, first="comparison")
    for line in results["comparisons"]:
        cells = [
            Cell(line["metric"]),
            Cell(f"{line['difference']:+.4f}", f"{line['low']:+.4f} … {line['high']:+.4f}"),
            Cell(p_value(line["p_value"])),
            Cell(
                p_value(line["p_corrected"]), "significant at 5 %" if line["p_corrected"] < LEVEL else "not significant"
            ),
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
    description = f"Search for {k} items a user, user vectors ready; seen items are removed in every row."
    table = Table("Exact search against the indexes", description, columns, first="index")
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


def held_out(results: Results) -> Table:
    """Users, targets, and users that are left out, by reason."""
    protocol = results["protocol"]
    lines: list[tuple[str, int, str]] = [
        ("users", protocol["users"], ""),
        ("cold users", protocol["users_cold"], "without a training event; they get the fallback of each model"),
        ("targets", protocol["targets"], "one item of one user counts once"),
        ("unknown targets", protocol["targets_unknown"], "not in the catalogue: always missed in the main metrics"),
        ("cold targets", protocol["targets_cold"], "no training event: reachable by features only"),
        ("seen targets", protocol["targets_seen"], "removed from every list with the seen items: always missed"),
        *((f"skipped: {reason}", count, "users left out") for reason, count in results["skipped"].items()),
    ]
    description = "Every user is counted; a miss that no model can avoid is still a miss."
    table = Table("Users and targets", description, [Column("count"), Column("meaning", words=True)], first="")
    table.rows.extend(Row(name, "count", [Cell(f"{count:,}"), Cell(meaning)]) for name, count, meaning in lines)
    return table


def protocol_notes(results: Results) -> list[str]:
    """Lines that belong to the protocol: targets that no model can reach, and users left out by reason."""
    protocol, notes = results["protocol"], []
    if n_seen := protocol["targets_seen"]:
        notes.append(
            f"{n_seen:,} of {protocol['targets']:,} targets can never be hit: the user had the item before, and seen "
            "items are removed."
        )
    if results["skipped"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in results["skipped"].items())
        notes.append(f"users skipped: {reasons}.")
    return notes


def all_tables(results: Results) -> Sequence[Table]:
    """Tables of the terminal, in order."""
    tables = (accuracy, further, by_training_events, significance, beyond, indexes)
    return with_rows([table(results) for table in tables])


def _with(results: Results, key: str) -> list[dict[str, Any]]:
    return [model for model in results["models"] if model.get(key)]


def _level(results: Results) -> str:
    return f"{100 * results['level']:g} %"
