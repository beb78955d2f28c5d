"""Pictures of a comparison (matplotlib, extra ``report``): validation curves, and test metrics with their spread.

Colour stands for the first setting that the configurations differ in, dashes and markers for the second one, and
every combination of the others has a panel.
"""

import io
import json
from typing import TYPE_CHECKING, Any

from recsys_bert.evaluation.report.comparison_tables import title_line
from recsys_bert.evaluation.report.pictures import (
    COLOURS,
    DASHES,
    GREY,
    MARKERS,
    style,
    to_svg,
    whole_ticks,
)
from recsys_bert.evaluation.report.tables import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_WIDTH = 11.5  # inches
_INK, _LINE = "#1d2430", "#dde2e9"  # of the picture file, which stands on white
_TITLE = 0.3  # inches
_MOST_BANDS = 4  # curves of a panel; bands of more cover each other


def pictures(results: Results) -> dict[str, str]:
    """``curves`` and ``metrics`` as SVG elements in the page's colours; what has no numbers is left out."""
    import matplotlib
    from matplotlib.figure import Figure

    svgs = {}
    with matplotlib.rc_context(style()):
        for name, (draw, height) in _parts(results).items():
            figure = Figure(figsize=(_WIDTH, height))
            draw(figure, results)
            svgs[name] = to_svg(figure, name)
    return svgs


def picture(results: Results) -> bytes:
    """Both as one PNG file."""
    import matplotlib
    from matplotlib.figure import Figure

    parts, file = _parts(results), io.BytesIO()
    heights = [height for _, height in parts.values()]
    with matplotlib.rc_context(style(_INK, _LINE)):
        figure = Figure(figsize=(_WIDTH, sum(heights) + _TITLE), dpi=120)
        figure.suptitle(title_line(results), fontsize=10)
        panels = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
        for panel, (draw, _) in zip(panels, parts.values(), strict=True):
            draw(panel, results)
        figure.savefig(file, format="png")
    return file.getvalue()


def _parts(results: Results) -> dict[str, Any]:
    """Name → function that draws it, and its height in inches."""
    parts: dict[str, Any] = {}
    if any(configuration["curve"] for configuration in results["configurations"]):
        rows = -(-len(_panels(results)) // _columns(results))
        parts["curves"] = (_curves, 3.6 if rows == 1 else 2.7 * rows)
    parts["metrics"] = (_metrics, 1.1 + 0.3 * len(results["configurations"]))
    return parts


def _varied(results: Results) -> list[str]:
    """Settings that the configurations differ in."""
    names = results["configurations"][0]["values"]
    return [
        name
        for name in names
        if len({_text(configuration["values"][name]) for configuration in results["configurations"]}) > 1
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _values(results: Results, at: int) -> list[str]:
    """Values of the varied setting number ``at``, in order; none where there are fewer."""
    names = _varied(results)
    if at >= len(names):
        return []
    return list(dict.fromkeys(_text(configuration["values"][names[at]]) for configuration in results["configurations"]))


def _value_index(results: Results, configuration: dict[str, Any], at: int) -> int:
    values = _values(results, at)
    return values.index(_text(configuration["values"][_varied(results)[at]])) if values else 0


def _panel(results: Results, configuration: dict[str, Any]) -> str:
    names = _varied(results)[2:]
    return ", ".join(f"{name.rpartition('.')[2]} = {_text(configuration['values'][name])}" for name in names)


def _panels(results: Results) -> list[str]:
    return list(dict.fromkeys(_panel(results, configuration) for configuration in results["configurations"]))


def _columns(results: Results) -> int:
    return min(3, len(_panels(results)))


def _curves(figure: "FigureBase", results: Results) -> None:
    """Validation metric by epoch, mean over seeds."""
    panels, columns = _panels(results), _columns(results)
    rows = -(-len(panels) // columns)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    all_axes: list[Axes] = list(grid.ravel())
    for spare in all_axes[len(panels) :]:
        spare.set_visible(False)
    for at, (axes, panel) in enumerate(zip(all_axes, panels, strict=False)):
        configurations = [
            configuration
            for configuration in results["configurations"]
            if configuration["curve"] and _panel(results, configuration) == panel
        ]
        for configuration in configurations:
            _curve(axes, results, configuration, band=len(configurations) <= _MOST_BANDS)
        if results["target"] is not None:
            axes.axhline(results["target"], color=GREY, linewidth=1, linestyle=":")
        axes.set_title(panel, fontsize=10)
        if at % columns == 0:
            axes.set_ylabel(f"validation {results['monitor']}")
        if at + columns >= len(panels):
            axes.set_xlabel("epoch")
            axes.xaxis.set_tick_params(labelbottom=True)
        whole_ticks(axes)
    figure.legend(handles=_key(results), loc="outside right upper")


def _curve(axes: "Axes", results: Results, configuration: dict[str, Any], band: bool) -> None:
    epochs, means, stds = zip(*configuration["curve"], strict=True)
    colour, mark = (
        COLOURS[_value_index(results, configuration, 0) % len(COLOURS)],
        _value_index(results, configuration, 1),
    )
    axes.plot(
        epochs,
        means,
        color=colour,
        linestyle=DASHES[mark % len(DASHES)],
        marker=MARKERS[mark % len(MARKERS)],
        linewidth=1.6,
        markersize=3.5,
    )
    if band and None not in stds:
        low, high = ([m + sign * d for m, d in zip(means, stds, strict=True)] for sign in (-1, 1))
        axes.fill_between(epochs, low, high, color=colour, alpha=0.13, linewidth=0)


def _key(results: Results) -> list[Any]:
    """Legend: colours of the first setting's values, dashes of the second one's, and the target of convergence."""
    from matplotlib.lines import Line2D

    names, handles = [name.rpartition(".")[2] for name in _varied(results)[:2]], []
    for at, value in enumerate(_values(results, 0)):
        handles.append(Line2D([], [], color=COLOURS[at % len(COLOURS)], linewidth=2, label=f"{names[0]} = {value}"))
    for at, value in enumerate(_values(results, 1)):
        look: dict[str, Any] = {"linestyle": DASHES[at % len(DASHES)], "marker": MARKERS[at % len(MARKERS)]}
        handles.append(Line2D([], [], color=GREY, markersize=4, label=f"{names[1]} = {value}", **look))
    if results["target"] is not None:
        share = f"{100 * results['target_share']:g} % of the first configuration's best"
        handles.append(Line2D([], [], color=GREY, linewidth=1, linestyle=":", label=share))
    return handles


def _metrics(figure: "FigureBase", results: Results) -> None:
    """Test metric of every configuration: the seeds as dots, their mean, and the standard deviation as a bar."""
    axes, metric = figure.subplots(), results["metric"]
    for row, configuration in enumerate(results["configurations"]):
        values = [run["metrics"][metric] for run in configuration["runs"]]
        if not values:
            continue
        entry, colour = (
            configuration["metrics"][metric],
            COLOURS[_value_index(results, configuration, 0) % len(COLOURS)],
        )
        axes.scatter(values, [row] * len(values), s=22, color=colour, alpha=0.6, linewidths=0, zorder=3)
        axes.errorbar(
            entry["mean"], row, xerr=entry["std"] or 0, color=colour, marker="|", markersize=11, linewidth=1.6
        )
    first = results["configurations"][0]
    if first["seeds"]:
        axes.axvline(first["metrics"][metric]["mean"], color=GREY, linewidth=1, linestyle=":")
    axes.set_yticks(
        range(len(results["configurations"])), [configuration["name"] for configuration in results["configurations"]]
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"test {metric}; bar: standard deviation over seeds; dotted: the first configuration's mean")
    axes.margins(y=0.6 / max(len(results["configurations"]), 2))
