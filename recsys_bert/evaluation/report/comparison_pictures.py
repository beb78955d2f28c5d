"""Pictures of a comparison (matplotlib, extra ``report``): curves of validation, and test figures with their spread.

The first setting that the cells differ in is told by colour, the second one by dashes and markers, and every
combination of the others has a panel of its own.
"""

import io
import json
from typing import TYPE_CHECKING, Any

from recsys_bert.evaluation.report.comparison import line
from recsys_bert.evaluation.report.pictures import COLOURS, GREY, style, to_svg, whole_ticks
from recsys_bert.evaluation.report.tables import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_WIDTH = 11.5  # inches
_INK, _LINE = "#1d2430", "#dde2e9"  # of the picture file, which stands on white
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P")
_TITLE = 0.3  # inches
_MOST_BANDS = 4  # curves of a panel; bands of more cover each other


def svgs(results: Results) -> dict[str, str]:
    """``curves`` and ``metrics`` as SVG elements in the page's colours; what has no numbers is left out."""
    import matplotlib
    from matplotlib.figure import Figure

    drawn = {}
    with matplotlib.rc_context(style()):
        for name, (draw, height) in _parts(results).items():
            figure = Figure(figsize=(_WIDTH, height))
            draw(figure, results)
            drawn[name] = to_svg(figure, name)
    return drawn


def picture(results: Results) -> bytes:
    """Both as one PNG file."""
    import matplotlib
    from matplotlib.figure import Figure

    parts, file = _parts(results), io.BytesIO()
    heights = [height for _, height in parts.values()]
    with matplotlib.rc_context(style(_INK, _LINE)):
        figure = Figure(figsize=(_WIDTH, sum(heights) + _TITLE), dpi=120)
        figure.suptitle(line(results), fontsize=10)
        places = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
        for place, (draw, _) in zip(places, parts.values(), strict=True):
            draw(place, results)
        figure.savefig(file, format="png")
    return file.getvalue()


def _parts(results: Results) -> dict[str, Any]:
    """Name → what draws it, and how high it is in inches."""
    found: dict[str, Any] = {}
    if any(cell["curve"] for cell in results["cells"]):
        rows = -(-len(_panels(results)) // _columns(results))
        found["curves"] = (_curves, 3.6 if rows == 1 else 2.7 * rows)
    found["metrics"] = (_figures, 1.1 + 0.3 * len(results["cells"]))
    return found


def _varied(results: Results) -> list[str]:
    """Settings that the cells differ in."""
    names = results["cells"][0]["values"]
    return [name for name in names if len({_said(cell["values"][name]) for cell in results["cells"]}) > 1]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _choices(results: Results, at: int) -> list[str]:
    """Values of the varied setting number ``at``, in order; none where there are fewer."""
    names = _varied(results)
    if at >= len(names):
        return []
    return list(dict.fromkeys(_said(cell["values"][names[at]]) for cell in results["cells"]))


def _choice(results: Results, cell: dict[str, Any], at: int) -> int:
    choices = _choices(results, at)
    return choices.index(_said(cell["values"][_varied(results)[at]])) if choices else 0


def _panel(results: Results, cell: dict[str, Any]) -> str:
    names = _varied(results)[2:]
    return ", ".join(f"{name.rpartition('.')[2]} = {_said(cell['values'][name])}" for name in names)


def _panels(results: Results) -> list[str]:
    return list(dict.fromkeys(_panel(results, cell) for cell in results["cells"]))


def _columns(results: Results) -> int:
    return min(3, len(_panels(results)))


def _curves(figure: "FigureBase", results: Results) -> None:
    """Validation figure by epoch, mean over seeds."""
    panels, columns = _panels(results), _columns(results)
    rows = -(-len(panels) // columns)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    places: list[Axes] = list(grid.ravel())
    for spare in places[len(panels) :]:
        spare.set_visible(False)
    for at, (axes, panel) in enumerate(zip(places, panels, strict=False)):
        cells = [cell for cell in results["cells"] if cell["curve"] and _panel(results, cell) == panel]
        for cell in cells:
            _curve(axes, results, cell, band=len(cells) <= _MOST_BANDS)
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


def _curve(axes: "Axes", results: Results, cell: dict[str, Any], band: bool) -> None:
    epochs, means, deviations = zip(*cell["curve"], strict=True)
    colour, mark = COLOURS[_choice(results, cell, 0) % len(COLOURS)], _choice(results, cell, 1)
    axes.plot(
        epochs,
        means,
        color=colour,
        linestyle=_DASHES[mark % len(_DASHES)],
        marker=_MARKERS[mark % len(_MARKERS)],
        linewidth=1.6,
        markersize=3.5,
    )
    if band and None not in deviations:
        low, high = ([m + sign * d for m, d in zip(means, deviations, strict=True)] for sign in (-1, 1))
        axes.fill_between(epochs, low, high, color=colour, alpha=0.13, linewidth=0)


def _key(results: Results) -> list[Any]:
    """Colours of the first setting's values, dashes of the second one's, and the level that convergence is timed to."""
    from matplotlib.lines import Line2D

    names, found = [name.rpartition(".")[2] for name in _varied(results)[:2]], []
    for at, value in enumerate(_choices(results, 0)):
        found.append(Line2D([], [], color=COLOURS[at % len(COLOURS)], linewidth=2, label=f"{names[0]} = {value}"))
    for at, value in enumerate(_choices(results, 1)):
        look: dict[str, Any] = {"linestyle": _DASHES[at % len(_DASHES)], "marker": _MARKERS[at % len(_MARKERS)]}
        found.append(Line2D([], [], color=GREY, markersize=4, label=f"{names[1]} = {value}", **look))
    if results["target"] is not None:
        share = f"{100 * results['target_share']:g} % of the first cell's best"
        found.append(Line2D([], [], color=GREY, linewidth=1, linestyle=":", label=share))
    return found


def _figures(figure: "FigureBase", results: Results) -> None:
    """Every cell's test figure: the seeds as dots, their mean, and the deviation as a bar."""
    axes, measure = figure.subplots(), results["measure"]
    for place, cell in enumerate(results["cells"]):
        values = [run["metrics"][measure] for run in cell["runs"]]
        if not values:
            continue
        found, colour = cell["metrics"][measure], COLOURS[_choice(results, cell, 0) % len(COLOURS)]
        axes.scatter(values, [place] * len(values), s=22, color=colour, alpha=0.6, linewidths=0, zorder=3)
        axes.errorbar(
            found["mean"], place, xerr=found["deviation"] or 0, color=colour, marker="|", markersize=11, linewidth=1.6
        )
    first = results["cells"][0]
    if first["seeds"]:
        axes.axvline(first["metrics"][measure]["mean"], color=GREY, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(results["cells"])), [cell["name"] for cell in results["cells"]])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"test {measure}; bar: deviation over seeds; dotted: the first cell's mean")
    axes.margins(y=0.6 / max(len(results["cells"]), 2))
