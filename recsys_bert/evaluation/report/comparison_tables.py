"""Tables of a comparison of configurations, its title line and its result in words."""

from typing import Any

from recsys_bert.evaluation.report.evaluation_tables import LEVEL
from recsys_bert.evaluation.report.tables import Cell, Column, Results, Row, Table, corrected_by, number, p_value

_MOST_EPOCHS = 6  # columns of the table; the picture has all of them


def title_line(results: Results) -> str:
    """The protocol: what was trained, test, grid, seeds, machine."""
    seeds = "1 seed" if results["seeds"] == 1 else f"{results['seeds']} seeds"
    test = f"test of {results['examples']:,} examples"
    n = len(results["configurations"])
    grid = "1 configuration" if n == 1 else f"{n} configurations"
    return f"{results['title']} · {test} · {grid} · {seeds} each · {results['machine']}"


def verdict(results: Results) -> str:
    """The result in words, no stronger than its tests of significance."""
    metric, finished = results["metric"], [one for one in results["configurations"] if one["seeds"]]
    best = max(finished, key=lambda configuration: configuration["metrics"][metric]["mean"])
    first = results["configurations"][0]
    sentence = f"Highest mean {metric}: {best['name']}, {_spread(best['metrics'][metric])}."
    if not first["seeds"]:
        return f"{sentence} {first['name']}, which the others are compared with, failed."
    if best is not first:
        sentence += f" {first['name']}: {_spread(first['metrics'][metric])}.{_significance(best, results)}"
    better, worse = (
        sum(test["p_corrected"] < LEVEL and sign * test["difference"] > 0 for test in results["comparisons"])
        for sign in (1, -1)
    )
    n = len(results["comparisons"])
    return sentence + (
        f" Of {n} other configurations, over test examples {better} are significantly better and {worse} worse than it."
        if n
        else ""
    )


def _significance(best: dict[str, Any], results: Results) -> str:
    tests = [test for test in results["comparisons"] if test["configuration"] == best["name"]]
    if not tests:
        return ""
    return f" The difference is {'' if tests[0]['p_corrected'] < LEVEL else 'not '}significant over test examples."


def metrics(results: Results) -> Table:
    """Test metrics and costs of every configuration."""
    names = list(dict.fromkeys(name for one in results["configurations"] for name in one["metrics"]))
    names = [results["metric"], *(name for name in names if name != results["metric"])]
    columns = [Column(name, "test", "higher") for name in names]
    columns += [Column("Seconds", "a training"), Column("Parameters"), Column("Best epoch"), Column("Seeds")]
    description = "Mean over seeds ± standard deviation; each run has the epoch that was best on validation."
    table = Table("Test metrics", description, columns, first="configuration")
    for configuration in results["configurations"]:
        costs = [
            _mean(configuration["seconds"], 0),
            Cell("–" if not configuration["seeds"] else f"{configuration['parameters']:,}"),
        ]
        costs += [_mean(configuration["best_epoch"], 1), Cell(f"{len(configuration['seeds'])} of {results['seeds']}")]
        table.rows.append(
            Row(
                configuration["name"],
                "configuration",
                [*(_mean(configuration["metrics"].get(name), 4) for name in names), *costs],
            )
        )
    return table


def differences(results: Results) -> Table:
    """Every configuration against the first one."""
    columns = [
        Column("Difference", f"{100 * results['level']:g} % interval"),
        Column("p", "randomisation test"),
        Column("p, corrected", corrected_by(results, "all configurations")),
        Column("better / worse / tied", "examples"),
        Column("better", "seeds"),
    ]
    description = (
        f"{results['metric']} of the same test examples, paired; each example's values are averaged over the seeds "
        "first. The test is over examples, the last column over seeds."
    )
    table = Table(f"Against {results['configurations'][0]['name']}", description, columns, first="configuration")
    for test in results["comparisons"]:
        cells = [
            Cell(f"{test['difference']:+.4f}", f"{test['low']:+.4f} … {test['high']:+.4f}"),
            Cell(p_value(test["p_value"])),
            Cell(
                p_value(test["p_corrected"]), "significant at 5 %" if test["p_corrected"] < LEVEL else "not significant"
            ),
            Cell(f"{test['better']:,} / {test['worse']:,} / {test['tied']:,}"),
            Cell(f"{test['seeds_better']} of {test['seeds_shared']}"),
        ]
        table.rows.append(Row(test["configuration"], "comparison", cells))
    return table


def convergence(results: Results) -> Table:
    """Validation metric by epoch, and the number of epochs to reach the first configuration's level."""
    monitor, target = results["monitor"], results["target"]
    epochs = _thinned(sorted({point[0] for one in results["configurations"] for point in one["curve"]}))
    columns = [Column(f"epoch {epoch}", "", "higher") for epoch in epochs]
    columns.append(Column("Best", "", "higher"))
    description = f"Validation {monitor}, mean over seeds, of the epochs that all seeds of a configuration completed."
    if target is not None:
        columns.append(Column(f"Epochs to {target:.4f}", "", "lower"))
        share = f"{100 * results['target_share']:g} %"
        description += f" Last column: epochs to {share} of the first configuration's mean best value."
    table = Table("Convergence", description, columns, first="configuration")
    for configuration in results["configurations"]:
        means = {epoch: mean for epoch, mean, _ in configuration["curve"]}
        cells = [number(means.get(epoch)) for epoch in epochs] + [_mean(configuration["best"], 4)]
        table.rows.append(
            Row(
                configuration["name"],
                "configuration",
                cells + ([_epochs_to_target(configuration)] if target is not None else []),
            )
        )
    return table if epochs else Table("Convergence", description, [])


def _epochs_to_target(configuration: dict[str, Any]) -> Cell:
    """Mean number of epochs; none where a seed never reached the target, for there is nothing to average."""
    reached = [epoch for epoch in configuration["epochs_to_target"] if epoch is not None]
    if reached and len(reached) == len(configuration["seeds"]):
        return number(sum(reached) / len(reached), 1)
    return Cell("–", f"{len(reached)} of {len(configuration['seeds'])} seeds" if configuration["seeds"] else "")


def _thinned(epochs: list[int]) -> list[int]:
    """The first, the last and evenly spread ones between."""
    n = len(epochs)
    if n <= _MOST_EPOCHS:
        return epochs
    return [epochs[round(at * (n - 1) / (_MOST_EPOCHS - 1))] for at in range(_MOST_EPOCHS)]


def _mean(entry: dict[str, Any] | None, digits: int) -> Cell:
    if entry is None or entry["mean"] is None:
        return Cell("–")
    under = "" if entry["std"] is None else f"± {entry['std']:.{digits}f}"
    return Cell(f"{entry['mean']:,.{digits}f}", under, entry["mean"])


def _spread(entry: dict[str, Any]) -> str:
    return f"{entry['mean']:.4f}" + ("" if entry["std"] is None else f" ± {entry['std']:.4f}")
