import copy
import struct
from html.parser import HTMLParser

import pytest

from recsys_bert.evaluation.report import comparison, comparison_pictures, comparison_tables
from recsys_bert.evaluation.report.pictures import INK


def mean(value, std=0.01, n=3):
    return {"mean": value, "std": std, "n": n}


def make_configuration(name, values, level, seeds=(0, 1, 2), curve=True):
    runs = [{"seed": seed, "metrics": {"macro_f1": level, "accuracy": level + 0.01 * (seed - 1)}} for seed in seeds]
    return {
        "name": name,
        "values": values,
        "seeds": list(seeds),
        "runs": runs,
        "metrics": {"macro_f1": mean(level - 0.1), "accuracy": mean(level)} if seeds else {},
        "seconds": mean(83.4, 2.0) if seeds else mean(None, None, 0),
        "epochs": mean(9.0) if seeds else mean(None, None, 0),
        "best_epoch": mean(7.0) if seeds else mean(None, None, 0),
        "best": mean(level) if seeds else mean(None, None, 0),
        "parameters": 12_345 if seeds else None,
        "curve": [[epoch, level * (1 - 0.5**epoch), 0.01] for epoch in range(1, 10)] if seeds and curve else [],
        "epochs_to_target": [3, None, 4] if name.endswith("cnn <b>") else [2 for _ in seeds],
    }


@pytest.fixture
def compared():
    """Four configurations of a grid of two settings; one failed."""
    configurations = [
        make_configuration(f"fusion={f} neck={n}", {"e.fusion": f, "e.neck": n, "e.dim": 3}, level, seeds)
        for f, n, level, seeds in [
            ("last", "none", 0.8, (0, 1, 2)),
            ("last", "cnn <b>", 0.7, (0, 1, 2)),
            ("pool", "none", 0.9, (0, 2)),
            ("pool", "cnn <b>", 0.0, ()),
        ]
    ]
    worse = {"difference": -0.1, "low": -0.12, "high": -0.08, "p_value": 0.0001, "p_corrected": 0.0002}
    better = {"difference": 0.1, "low": -0.01, "high": 0.2, "p_value": 0.04, "p_corrected": 0.06}
    counts = {"better": 1200, "worse": 30, "tied": 4, "seeds_better": 0, "seeds_shared": 3}
    return {
        "title": "text classify train tiny & small.toml",
        "machine": "2 CPU cores",
        "level": 0.95,
        "metric": "accuracy",
        "monitor": "accuracy",
        "examples": 1234,
        "seeds": 3,
        "target": 0.792,
        "target_share": 0.99,
        "configurations": configurations,
        "comparisons": [
            {"configuration": configurations[1]["name"], "against": configurations[0]["name"], **worse, **counts},
            {"configuration": configurations[2]["name"], "against": configurations[0]["name"], **better, **counts},
        ],
        "failed": [{"run": "fusion=pool neck=cnn <b>, seed 0", "why": "the loss is nan."}],
        "config": {"seeds": 3},
    }


class Page(HTMLParser):
    """Fails on an element that is closed out of order, and collects what would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.ids = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value[0] != "#"]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(compared):
    whole = comparison.page(compared)
    parsed = Page(whole)
    assert parsed.fetched == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert whole.count("<svg") == 2
    assert INK not in whole
    assert "<b>" not in whole
    assert "cnn &lt;b&gt;, seed 0: the loss is nan." in whole


def test_the_terminal_gets_the_same_figures(compared):
    text = comparison.text(compared)
    for part in (
        "tiny & small.toml · test of 1,234 examples · 4 configurations · 3 seeds each · 2 CPU cores",
        "0.9000* ± 0.0100",
        "-0.1000  -0.1200 … -0.0800",
        "significant at 5 %",
        "1,200 / 30 / 4",
        "Epochs to 0.7920",
        "Failed: fusion=pool neck=cnn <b>, seed 0: the loss is nan.",
        "Highest mean accuracy: fusion=pool neck=none, 0.9000 ± 0.0100.",
        "The difference is not significant over test examples.",
        "Of 2 other configurations, over test examples 0 are significantly better and 1 worse than it.",
    ):
        assert part in text
    lines = text.splitlines()
    assert any(line.startswith("fusion=pool neck=none") and line.endswith("2 of 3") for line in lines)
    assert any(line.startswith("fusion=pool neck=cnn <b>") and "–" in line and "0 of 3" in line for line in lines)


def test_an_average_of_epochs_needs_all_seeds(compared):
    cells = [row.cells[-1] for row in comparison_tables.convergence(compared).rows]
    assert [(cell.text, cell.under, cell.value) for cell in cells] == [
        ("2.0", "", 2.0),
        ("–", "2 of 3 seeds", None),
        ("2.0", "", 2.0),
        ("–", "", None),
    ]


def test_only_some_epochs_have_a_column(compared):
    names = [column.name for column in comparison_tables.convergence(compared).columns]
    assert names == [*(f"epoch {epoch}" for epoch in (1, 3, 4, 6, 7, 9)), "Best", "Epochs to 0.7920"]


def test_the_picture_is_a_png_as_high_as_the_grid_is_long(compared):
    def size(png):
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        return struct.unpack(">II", png[16:24])

    width, height = size(comparison_pictures.picture(compared))
    longer = copy.deepcopy(compared)
    longer["configurations"] += [copy.deepcopy(cell) for cell in longer["configurations"]]
    for at, cell in enumerate(longer["configurations"]):
        cell["values"]["t.auxiliary"] = at > 3
    assert size(comparison_pictures.picture(longer)) == (width, pytest.approx(height + 4 * 0.3 * 120, abs=1))
    assert comparison_pictures._panels(longer) == ["auxiliary = false", "auxiliary = true"]


def test_what_was_not_validated_has_no_curves(compared):
    for cell in compared["configurations"]:
        cell |= {"curve": [], "epochs_to_target": [None for _ in cell["seeds"]], "best": mean(None, None, 0)}
    compared["target"] = None
    assert set(comparison_pictures.pictures(compared)) == {"metrics"}
    assert comparison_tables.convergence(compared).rows == []
    assert "Convergence" not in comparison.text(compared)
    Page(comparison.page(compared))


def test_one_cell_of_one_seed_can_be_shown(compared):
    one = make_configuration("the recipe", {}, 0.5, seeds=(0,))
    one["metrics"] = {"accuracy": mean(0.5, None, 1)}
    compared |= {"configurations": [one], "comparisons": [], "failed": [], "seeds": 1}
    text = comparison.text(compared)
    assert "1 configuration · 1 seed each" in text
    assert "Highest mean accuracy: the recipe, 0.5000." in text
    Page(comparison.page(compared))
    assert comparison_pictures.picture(compared)


def test_a_first_cell_that_failed_is_told_of(compared):
    compared["configurations"] = compared["configurations"][::-1]
    compared |= {"comparisons": [], "target": None}
    assert "fusion=pool neck=cnn <b>, which the others are compared with, failed." in comparison.text(compared)
    Page(comparison.page(compared))
    assert comparison_pictures.picture(compared)
