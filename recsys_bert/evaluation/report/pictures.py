"""The report's pictures as inline SVG (matplotlib, extra ``report``).

Text and lines take the page's own colours through CSS variables, so one picture is right on a light and on a dark
page; the series' colours are of middle lightness for the same reason.
"""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recsys_bert.evaluation.report.tables import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3b82c4", "#e0763a", "#3f9e6b", "#b0599b", "#c59b1f", "#d1495b", "#2a9d9d", "#8a6fd1")
GREY = "#8b939e"
INK, LINE = "#010203", "#040506"  # stand-ins, replaced by the page's colours
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)))
_FIRST_WEIGHTS = 4  # more runs than that make unreadable bars


def available() -> bool:
    """True iff matplotlib is installed."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def pictures(results: Results) -> dict[str, str]:
    """Draw all pictures that the results have numbers for.

    Returns:
        Name → ``<svg …>``: ``recall_curve``, ``training``, ``indexes``, ``fusion``.
    """
    import matplotlib

    draws: dict[str, tuple[bool, Callable[[Results], Figure]]] = {
        "recall_curve": (any(model.get("curve") for model in results["models"]), _recall_curve),
        "training": (bool(results["training"]), _training),
        "indexes": (bool(results["indexes"]), _indexes),
        "fusion": (bool(results["fusion"]), _fusion),
    }
    with matplotlib.rc_context(style()):
        return {name: to_svg(draw(results), name) for name, (has_data, draw) in draws.items() if has_data}


def style(ink: str = INK, line: str = LINE) -> dict[Any, Any]:
    """Style of all pictures; the default colours are stand-ins that ``to_svg`` replaces by the page's."""
    return {
        "text.parse_math": False,  # names of runs may hold dollar signs
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": line,
        "grid.color": line,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }


def _figure(columns: int = 1, width: float = 11.5, height: float = 3.8) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    figure = Figure(figsize=(width, height))
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def to_svg(figure: "Figure", name: str) -> str:
    """The figure as an SVG element that fits its column and follows the page's colours."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):  # ids of two pictures on one page must differ
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    limit = f"max-width:{96 * figure.get_figwidth():.0f}px"  # a narrow picture must not be blown up to the page's width
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 style="{limit}"', text, count=1)
    text = text.replace(INK, "var(--ink)").replace(LINE, "var(--line)")
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    return re.sub(r' id="([^"]+)"', lambda m: m.group(0) if m.group(1) in used else "", text)


def legend_name(name: str) -> str:
    """The name as a label; matplotlib leaves out labels that begin with an underscore."""
    return f"\u200b{name}" if name.startswith("_") else name


def _recall_curve(results: Results) -> "Figure":
    """Markers and dashes differ as well as colours, so that curves tell apart in print."""
    figure, (axes,) = _figure()
    numbers = {"run": 0, "baseline": 0, "best_possible": 0}
    for model in (model for model in results["models"] if model.get("curve")):
        number, length = numbers[model["kind"]], len(model["curve"])
        numbers[model["kind"]] += 1
        look: dict[str, Any] = {
            "run": {"color": COLOURS[number % len(COLOURS)], "linewidth": 2.2, "linestyle": "-"},
            "baseline": {"color": GREY, "linewidth": 1.4, "linestyle": DASHES[1 + number % (len(DASHES) - 1)]},
            "best_possible": {"color": INK, "linewidth": 1.2, "linestyle": ":"},
        }[model["kind"]]
        if model["kind"] != "best_possible":
            filled = model["kind"] == "run"
            look |= {
                "marker": MARKERS[number % len(MARKERS)],
                "markersize": 5,
                "fillstyle": "full" if filled else "none",
            }
            look["markevery"] = sorted({k - 1 for k in results["ks"] if k <= length})
        axes.plot(range(1, length + 1), model["curve"], label=legend_name(model["name"]), **look)
    axes.set(xlabel="k", ylabel="recall@k", xlim=(1, None), ylim=(0, None))
    axes.set_xticks(results["ks"])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _training(results: Results) -> "Figure":
    figure, (loss, metric) = _figure(columns=2)
    name = next((line["metric_name"] for line in results["training"] if line["metric_name"]), "metric")
    for number, run in enumerate(results["training"]):
        look: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": DASHES[number % len(DASHES)],
            "linewidth": 1.6,
            "label": legend_name(run["run"]),
        }
        loss.plot(*_columns(run["loss"]), **look)
        if run["metric"]:
            metric.plot(*_columns(run["metric"]), marker=MARKERS[number % len(MARKERS)], markersize=3.5, **look)
    loss.set(xlabel="step", ylabel="training loss")
    metric.set(xlabel="step", ylabel=f"validation {name}")
    for axes in (loss, metric):
        axes.ticklabel_format(axis="x", style="plain")
        whole_ticks(axes)
    handles, labels = loss.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def whole_ticks(axes: "Axes") -> None:
    """Label whole numbers only: steps, epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _columns(points: list[list[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


def _indexes(results: Results) -> "Figure":
    """Colour is the index type, shape the run, area the memory: names beside the points would cover each other."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure, (axes,) = _figure(height=4.2)
    lines = results["indexes"]
    runs = list(dict.fromkeys(line["run"] for line in lines))
    factories = list(dict.fromkeys(line["factory"] for line in lines))
    colours = {name: COLOURS[(at - 1) % len(COLOURS)] if at else GREY for at, name in enumerate(factories)}
    largest = max((line["bytes"] or 0) for line in lines) or 1
    for line in lines:
        axes.scatter(
            line["queries_per_second"],
            line["ann_recall"],
            s=50 + 250 * (line["bytes"] or 0) / largest,
            marker=MARKERS[runs.index(line["run"]) % len(MARKERS)],
            color=colours[line["factory"]],
            alpha=0.8,
            linewidths=0,
        )
    axes.set(xlabel="queries per second", ylabel=f"ANN recall@{results['index_k']} of the exact list", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08, y=0.12)
    key = [Line2D([], [], linestyle="", marker="o", color=colours[name], label=legend_name(name)) for name in factories]
    if len(runs) > 1:
        shapes = zip(runs, MARKERS * len(runs), strict=False)
        key += [Line2D([], [], linestyle="", marker=mark, color=INK, label=legend_name(name)) for name, mark in shapes]
    axes.legend(handles=key, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _fusion(results: Results) -> "Figure":
    runs: list[dict[str, Any]] = results["fusion"][:_FIRST_WEIGHTS]
    figure, axes = _figure(columns=len(runs), width=3.4 * len(runs), height=2.8)
    for number, (panel, run) in enumerate(zip(axes, runs, strict=True)):
        positions = range(len(run["weights"]))
        bars = panel.bar(positions, run["weights"], color=COLOURS[number % len(COLOURS)], width=0.65)
        panel.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
        panel.set_xticks(list(positions), run["labels"], rotation=30 if len(run["labels"]) > 4 else 0)
        panel.set_title(run["run"], fontsize=10)
        panel.set_ylabel(run["meaning"])
        panel.axhline(0.0, color=INK, linewidth=0.8)
        panel.margins(y=0.15)
        panel.grid(visible=False, axis="x")
    return figure
