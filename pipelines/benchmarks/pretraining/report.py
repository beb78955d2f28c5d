"""The table and the picture of the cells that are filled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.benchmarks.pretraining.cells import Cell, Workshop
from pipelines.benchmarks.pretraining.logs import OTHERS
from pipelines.benchmarks.tables import write_tables
from recsys_bert.evaluation.significance import compare, corrected
from recsys_bert.files import replacing

Row = tuple[str, str, str]
"""Task, log, scenario."""
EMPTY = "empty"
LEVEL = 0.05
NOTE = (
    "Retrieval: NDCG@10, full ranking, seen items removed; of cold items recall@10 of the users whose target is one. "
    "Click-through: AUC; the scenarios are shares of the labels. Mean ± standard deviation over so many seeds. * "
    f"differs from random, paired over users, Holm, {LEVEL}."
)


def write_report(out: Path, cells: Sequence[Cell], workshop: Workshop) -> None:
    """Write ``table.md``, ``table.json`` and ``table.png`` of what is finished."""
    starts = list(dict.fromkeys(cell.start for cell in cells))
    filled = {cell: workshop.values(cell) for cell in cells if workshop.is_finished(cell)}
    rows = list(dict.fromkeys((cell.task, cell.log, cell.scenario) for cell in cells))
    by_seed = {
        (row, start): {cell.seed: values for cell, values in filled.items() if (*row, start) == _key(cell)}
        for row in rows
        for start in starts
    }
    tests = _tests(by_seed, rows, starts)
    lines = ["| task | log | training | " + " | ".join(starts) + " |", "|---" * (3 + len(starts)) + "|"]
    for row in rows:
        texts = [_text(by_seed[row, start], tests.get((row, start))) for start in starts]
        lines.append("| " + " | ".join([*row, *texts]) + " |")
    n_filled, n_all = len(filled), len(cells)
    note = f"\n{n_filled} of {n_all} cells are filled. {NOTE}\n"
    transfer = _transfer(by_seed)
    result = {
        "cells": [
            {**dict(zip(("task", "log", "scenario"), row, strict=True)), "start": start, "seeds": sorted(values)}
            | {"mean": [float(np.nanmean(values[seed])) for seed in sorted(values)]}
            for (row, start), values in by_seed.items()
        ],
        "tests": [{"row": row, "start": start, **test} for (row, start), test in tests.items()],
        "transfer": transfer,
    }
    table = "\n".join(lines) + "\n" + note + _transfer_table(transfer)
    write_tables(out / "table", table, result, show=False)
    picture(out / "table.png", by_seed, rows, starts)


def _key(cell: Cell) -> tuple[str, str, str, str]:
    return (cell.task, cell.log, cell.scenario, cell.start)


def _text(values: Mapping[int, NDArray[np.float64]], test: Mapping[str, float] | None) -> str:
    if not values:
        return EMPTY
    means = [float(np.nanmean(one)) for one in values.values()]
    spread = f" ± {np.std(means, ddof=1):.4f}" if len(means) > 1 else ""
    star = "*" if test is not None and test["p_corrected"] < LEVEL else ""
    return f"{np.mean(means):.4f}{spread} ({len(means)}){star}"


def _paired(first: Mapping[int, Any], second: Mapping[int, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of two starts, user by user: means over common seeds where the users are the same in all of them."""
    seeds = sorted(first.keys() & second.keys())
    parts = [np.stack([first[seed], second[seed]]) for seed in seeds]
    if len({part.shape for part in parts}) == 1:
        return tuple(np.mean(parts, axis=0))
    return tuple(np.concatenate(parts, axis=1))


def _tests(by_seed: Mapping[Any, Any], rows: Sequence[Row], starts: Sequence[str]) -> dict[Any, dict[str, float]]:
    """Paired tests of every start against random, corrected for all of them together."""
    tests = {}
    for row in rows:
        for start in starts[1:]:
            one, other = by_seed[row, start], by_seed[row, starts[0]]
            if one.keys() & other.keys() and row[2] != "cold items":
                result = compare(*_paired(one, other))
                tests[row, start] = {"difference": result.difference, "p_value": result.p_value}
    adjusted = corrected([test["p_value"] for test in tests.values()]) if tests else []
    return {key: test | {"p_corrected": p} for (key, test), p in zip(tests.items(), adjusted, strict=True)}


def _transfer(by_seed: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Pretrained elsewhere against the untrained sum on a tenth of the users, in standard errors over users."""
    pairs = []
    for log, others in OTHERS.items():
        row = ("retrieval", log, "10 %")
        one, other = by_seed.get((row, "elsewhere"), {}), by_seed.get((row, "untrained"), {})
        if one.keys() & other.keys():
            first, second = _paired(one, other)
            difference = first - second
            error = float(np.nanstd(difference, ddof=1) / np.sqrt(np.isfinite(difference).sum()))
            means = {"elsewhere": float(np.nanmean(first)), "untrained": float(np.nanmean(second))}
            scratch = by_seed.get((row, "random"), {})
            means["random"] = float(np.mean([np.nanmean(v) for v in scratch.values()])) if scratch else float("nan")
            pairs.append({"from": others, "to": log, **means, "standard_error": error})
    return pairs


def _transfer_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    lines = ["\nTransfer, a tenth of the users, NDCG@10:\n", "| from → to | random | elsewhere | untrained | lead |"]
    lines += ["|---|---|---|---|---|"]
    for pair in pairs:
        lead = (pair["elsewhere"] - pair["untrained"]) / max(pair["standard_error"], 1e-12)
        means = " | ".join(f"{pair[name]:.4f}" for name in ("random", "elsewhere", "untrained"))
        lines.append(f"| {', '.join(pair['from'])} → {pair['to']} | {means} | {lead:+.1f} standard errors |")
    return "\n".join(lines) + "\n"


def picture(path: Path, by_seed: Mapping[Any, Any], rows: Sequence[Row], starts: Sequence[str]) -> None:
    """Draw one panel a log and task: training share across, metric up, one line a start; nothing without matplotlib."""
    from recsys_bert.evaluation.report.pictures import COLOURS, MARKERS, available

    panels = list(dict.fromkeys(row[:2] for row in rows if any(by_seed[row, start] for start in starts)))
    if not available() or not panels:
        return
    from matplotlib.figure import Figure

    width = min(len(panels), 4)
    height = -(-len(panels) // width)
    figure = Figure(figsize=(3.4 * width, 2.8 * height), layout="constrained")
    axes = np.atleast_1d(figure.subplots(height, width)).ravel()
    order = ("1 %", "10 %", "all", "cold items")
    for axis, panel in zip(axes, panels, strict=False):
        for number, start in enumerate(starts):
            points = [(at, by_seed.get(((*panel, name), start), {})) for at, name in enumerate(order)]
            known = [(at, np.mean([np.nanmean(one) for one in values.values()])) for at, values in points if values]
            look = {"marker": MARKERS[number], "color": COLOURS[number], "linewidth": 1.2}
            cold = [point for point in known if point[0] == len(order) - 1]  # another metric: no line leads there
            for part, label in ((known[: len(known) - len(cold)], start), (cold, None)):
                axis.plot([x for x, _ in part], [y for _, y in part], label=label, **look)
        axis.set_xticks(range(len(order)), order, fontsize=7)
        axis.set_title(f"{panel[1]}, {panel[0]}", fontsize=8)
        axis.tick_params(axis="y", labelsize=7)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    axes[0].legend(fontsize=6)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
