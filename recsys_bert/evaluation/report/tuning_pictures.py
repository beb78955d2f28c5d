"""Pictures of a search for settings (matplotlib, extra ``report``): history, importance, values tried, curves."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recsys_bert.evaluation.report.pictures import COLOURS, GREY, style, to_svg, whole_ticks
from recsys_bert.evaluation.report.tables import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _COLUMNS = 11.5, 3  # inches; panels beside one another
_BEST, _OTHER, _RECIPE = COLOURS[1], COLOURS[0], COLOURS[2]


def pictures(results: Results) -> dict[str, str]:
    """``history``, ``importance``, ``slices`` and ``curves`` as SVG elements; what has no numbers is left out."""
    import matplotlib
    from matplotlib.figure import Figure

    complete = [one for one in results["trials"] if one["value"] is not None]
    n_settings, n_shares = len(results["space"]), len(results["importance"])
    rows = -(-n_settings // _COLUMNS)
    parts: dict[str, tuple[bool, Callable[[Figure, Results], None], float]] = {
        "history": (bool(complete), _history, 3.6),
        "importance": (n_shares > 0, _importance, 0.9 + 0.35 * n_shares),
        "slices": (len(complete) > 1, _slices, 2.7 * rows),
        "curves": (any(len(one["curve"]) > 1 for one in results["trials"]), _curves, 3.6),
    }
    svgs = {}
    with matplotlib.rc_context(style()):
        for name, (has_data, draw, height) in parts.items():
            if has_data:
                figure = Figure(figsize=(_WIDTH, height))
                draw(figure, results)
                svgs[name] = to_svg(figure, name)
    return svgs


def _history(figure: "Figure", results: Results) -> None:
    """Value of every trial by number, the best so far as a line; pruned and failed ones on the axis."""
    axes: Axes = figure.subplots()
    complete = [one for one in results["trials"] if one["value"] is not None]
    numbers, values = [one["number"] for one in complete], [one["value"] for one in complete]
    pick = max if results["higher_is_better"] else min
    best = [pick(values[: at + 1]) for at in range(len(values))]
    axes.scatter(numbers, values, s=26, color=_OTHER, linewidths=0, zorder=3, label="complete")
    axes.plot(numbers, best, color=_BEST, linewidth=1.8, drawstyle="steps-post", label="best so far")
    if results["recipe"] is not None:
        axes.axhline(results["recipe"]["value"], color=_RECIPE, linestyle=":", linewidth=1.4, label="the recipe")
    for state, mark in (("pruned", "|"), ("failed", "x")):
        at = [one["number"] for one in results["trials"] if one["state"] == state]
        if at:
            foot = axes.get_xaxis_transform()
            axes.scatter(at, [0.02] * len(at), marker=mark, s=30, color=GREY, transform=foot, label=state)
    axes.set(xlabel="trial", ylabel=f"validation {results['monitor']}")
    whole_ticks(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _importance(figure: "Figure", results: Results) -> None:
    axes: Axes = figure.subplots()
    names, shares = zip(*results["importance"].items(), strict=True)
    bars = axes.barh(range(len(names)), [100 * share for share in shares], color=_OTHER, height=0.6)
    axes.bar_label(bars, fmt="%.0f %%", fontsize=8, padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("importance, %")
    axes.margins(x=0.1)
    axes.grid(visible=False, axis="y")


def _slices(figure: "Figure", results: Results) -> None:
    """Value by the value of each setting; late trials are darker."""
    names = list(results["space"])
    columns = min(_COLUMNS, len(names))
    panels = figure.subplots(-(-len(names) // columns), columns, squeeze=False, sharey=True)
    complete = [one for one in results["trials"] if one["value"] is not None]
    last = max(one["number"] for one in complete) or 1
    for at, (axes, name) in enumerate(zip(panels.ravel(), names, strict=False)):
        values, ticks = _positions([one["values"][name] for one in complete])
        shades = [0.25 + 0.75 * one["number"] / last for one in complete]
        axes.scatter(values, [one["value"] for one in complete], s=24, color=_OTHER, alpha=shades, linewidths=0)
        best = next(at for at, one in enumerate(complete) if one["number"] == results["best"]["number"])
        axes.scatter([values[best]], [results["best"]["value"]], s=46, color=_BEST, linewidths=0, zorder=4)
        axes.set_title(name, fontsize=10)
        if ticks:
            axes.set_xticks(range(len(ticks)), ticks)
            axes.margins(x=0.2)
        elif name in results["logarithmic"]:
            axes.set_xscale("log")
        if at % columns == 0:
            axes.set_ylabel(f"validation {results['monitor']}")
    for spare in panels.ravel()[len(names) :]:
        spare.set_visible(False)


def _positions(values: list[Any]) -> tuple[list[float], list[str]]:
    """Numbers as they are; anything else by its place among the different ones, with their texts as ticks."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return values, []
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    ticks = sorted(set(texts))
    return [ticks.index(text) for text in texts], ticks


def _curves(figure: "Figure", results: Results) -> None:
    """Validation by epoch of every trial; dashed where it was pruned."""
    axes: Axes = figure.subplots()
    best = None if results["best"] is None else results["best"]["number"]
    for one in results["trials"]:
        if one["curve"]:
            epochs, values = zip(*one["curve"], strict=True)
            is_best, is_pruned = one["number"] == best, one["state"] == "pruned"
            axes.plot(
                epochs,
                values,
                color=_BEST if is_best else GREY if is_pruned else _OTHER,
                linestyle="--" if is_pruned else "-",
                linewidth=2.2 if is_best else 1.0,
                alpha=1.0 if is_best else 0.55,
                marker="." if len(epochs) == 1 else None,
                zorder=4 if is_best else 2,
            )
    axes.set(xlabel="epoch", ylabel=f"validation {results['monitor']}")
    whole_ticks(axes)
