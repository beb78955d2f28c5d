"""Confusion matrix as a picture (matplotlib, extra ``report``)."""

import io
from collections.abc import Sequence
from typing import Any

_MOST_NUMBERS = 30  # classes; with more, numbers in the squares would be too small to read


def confusion_picture(table: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Draw a confusion matrix: a row's squares are as dark as their share of the true class is large.

    Args:
        table: ``[classes][classes]`` examples of the true class (row) predicted as the class (column).
        names: The classes; characters that the fonts of the viewer have are shown.

    Returns:
        A whole SVG file.
    """
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    counts = np.asarray(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.45 * len(names)
    style: dict[Any, Any] = {
        "text.parse_math": False,  # names of classes may hold dollar signs
        "svg.fonttype": "none",
        "svg.hashsalt": "confusion",
        "font.family": "sans-serif",
        "font.size": 9,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="predicted", ylabel="true")
        if len(names) <= _MOST_NUMBERS:
            for (row, column), count in np.ndenumerate(counts):
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, f"{count:,}" if count else "", ha="center", va="center", color=colour)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
