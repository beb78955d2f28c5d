import builtins
import copy
import re
from html.parser import HTMLParser

import pytest

from recsys_bert.evaluation.report import pictures
from recsys_bert.evaluation.report.page import page, verdict
from recsys_bert.evaluation.report.tables import accuracy, significance
from recsys_bert.evaluation.report.text import text

VOID = {"meta", "br"}


class Nesting(HTMLParser):
    """Fails on an element that is closed out of order, and collects what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value[0] != "#"]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(results):
    whole = page(results)
    parser = Nesting()
    parser.feed(whole)
    assert parser.open == []
    assert parser.fetched == []
    assert not re.search(r"@import|url\((?!#)", whole)
    assert whole.count("<svg") == 4


def test_links_and_clips_of_all_pictures_are_told_apart(results):
    parser = Nesting()
    parser.feed(page(results))
    assert len(parser.ids) == len(set(parser.ids))


def test_pictures_take_the_pages_colours(results):
    drawn = pictures.pictures(results)
    assert set(drawn) == {"recall_curve", "training", "indexes", "fusion"}
    for svg in drawn.values():
        assert "var(--ink)" in svg
        assert pictures.INK not in svg
        assert "#000000" not in svg


def test_names_are_escaped(results):
    assert "towers <b>" not in page(results)
    assert "towers &lt;b&gt;" in page(results)


def test_the_best_of_a_column_is_marked_and_the_possible_one_takes_no_part(results):
    possible = copy.deepcopy(results["models"][0])
    possible |= {"name": "best possible", "kind": "best_possible"}
    possible["metrics"]["recall@10"]["value"] = 0.99
    results["models"].append(possible)
    table = accuracy(results)
    assert (1, 0) in table.best()
    assert not any(row == 3 for row, _ in table.best())
    assert "0.3000* 0.2900–0.3100" in text(results)


def test_the_protocol_stands_beside_every_table(results):
    line = results["protocol"]["line"]
    shown = text(results)
    titles = [part.splitlines()[0] for part in shown.split("\n\n")]
    assert titles == [
        "Accuracy at k = 10",
        "Is the difference real?",
        "Beyond accuracy",
        "Exact search against the indexes",
    ]
    assert shown.count(line) == 4
    assert page(results).count(line) >= 8


def test_columns_of_warm_targets_appear_only_where_some_are_not(results):
    assert sum(column.under == "warm targets only" for column in accuracy(results).columns) == 2
    results["protocol"]["targets_unknown"] = 0
    assert sum(column.under == "warm targets only" for column in accuracy(results).columns) == 0


def test_sections_without_numbers_are_left_out(results):
    results |= {"indexes": [], "fusion": [], "training": [], "comparisons": []}
    whole = page(results)
    assert significance(results) is None
    for name in ("indexes", "layer-fusion", "training", "significance"):
        assert f'id="{name}"' not in whole
    assert whole.count("<svg") == 1


def test_without_matplotlib_the_page_says_how_to_get_pictures(results, monkeypatch):
    monkeypatch.setattr(pictures, "available", lambda: False)
    monkeypatch.setattr("recsys_bert.evaluation.report.page.available", lambda: False)
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        assert not name.startswith("matplotlib")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    whole = page(results)
    assert "<svg" not in whole
    assert "recsys-bert[report]" in whole


@pytest.mark.parametrize(
    ("best", "says"),
    [("towers <b>", "The best baseline is markov with NDCG@10 0.1800 (+67 %"), ("markov", "look for a bug")],
)
def test_the_verdict_names_the_best_and_a_baseline_on_top_is_an_alarm(results, best, says):
    if best == "markov":
        results["models"][2]["metrics"]["ndcg@10"]["value"] = 0.9
    assert verdict(results).startswith(f"{best} ranks best")
    assert says in verdict(results)
