"""Tables of runs that rank nothing: CTR models and text models, from the metrics that their training wrote."""

from typing import Any

from recsys_bert.evaluation.report.tables import Cell, Column, Results, Row, Table, number

_CTR = {
    "auc": Column("AUC", "", "higher"),
    "gauc": Column("GAUC", "per user, by impressions", "higher"),
    "log_loss": Column("Log loss", "nats", "lower"),
    "calibration_error": Column("Calibration error", "", "lower"),
    "impressions": Column("Impressions"),
    "click_rate": Column("Click rate"),
    "one_class_users": Column("One-class users", "not in GAUC"),
}
_LOWER = frozenset({"loss", "log_loss", "perplexity", "calibration_error"})
_COUNTS = frozenset({"impressions", "one_class_users", "examples", "sentences", "pairs"})


def ctr_runs(results: Results) -> Table:
    """Metrics of CTR models on their impressions."""
    runs = [run for run in results.get("runs", []) if "impressions" in run["metrics"]]
    columns = {name: column for name, column in _CTR.items() if any(name in run["metrics"] for run in runs)}
    description = "From metrics.json of each run, on its own impressions; AUC over all of them, GAUC within users."
    return _table("Click-through rate", description, runs, columns)


def text_runs(results: Results) -> list[Table]:
    """Metrics of text models, one table for runs with the same metrics."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in results.get("runs", []):
        if "impressions" not in run["metrics"]:
            groups.setdefault(tuple(run["metrics"]), []).append(run)
    description = "From metrics.json of each run, on its own data."
    return [_table("Text models", description, runs, _columns(names)) for names, runs in groups.items()]


def _columns(names: tuple[str, ...]) -> dict[str, Column]:
    def better(name: str) -> Any:
        return "" if name in _COUNTS else "lower" if name in _LOWER else "higher"

    return {name: Column(name, "", better(name)) for name in names}


def _table(title: str, description: str, runs: list[dict[str, Any]], columns: dict[str, Column]) -> Table:
    table = Table(title, description, [Column("Data", words=True), *columns.values()], first="run")
    for run in runs:
        values = [number(run["metrics"].get(name), 0 if name in _COUNTS else 4) for name in columns]
        table.rows.append(Row(run["run"], "run", [Cell(run["split"]), *values]))
    return table
