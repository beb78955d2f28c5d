import builtins
import copy
import re
from html.parser import HTMLParser

import pytest

from recsys_bert.evaluation.report import pictures
from recsys_bert.evaluation.report.evaluation_tables import accuracy, significance
from recsys_bert.evaluation.report.page import page
from recsys_bert.evaluation.report.text import text
from recsys_bert.evaluation.report.verdict import significant_pairs, verdict

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
    svgs = pictures.pictures(results)
    assert set(svgs) == {"recall_curve", "training", "indexes", "fusion"}
    for svg in svgs.values():
        assert "var(--ink)" in svg
        assert pictures.INK not in svg
        assert "#000000" not in svg


@pytest.mark.slow
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
    terminal = text(results)
    *titles, _ = [part.splitlines()[0] for part in terminal.split("\n\n")]
    assert titles == [
        "Accuracy at k = 10",
        "By training events of the target",
        "Significance",
        "Beyond accuracy",
        "Exact search against the indexes",
    ]
    assert terminal.count(line) == 5
    assert page(results).count(line) >= 8


def test_training_events_of_the_target_stand_in_terminal_and_page(results):
    results["by_target"] = [{}, {**results, "targets": "next", "skipped": {}}]
    for whole in (text(results), page(results)):
        assert whole.count("1-4 events, 96") == 4  # recall and NDCG, of the headline and of the other kind
        assert "Targets: next, by training events of the target" in whole
    results["by_target"] = []
    for model in results["models"]:
        model["by_training_events"] = []  # of other users
    assert "training events of the target" not in text(results)


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


def add_test(results, first, second, difference, p_corrected):
    test = {
        "model": first,
        "against": second,
        "metric": "ndcg@10",
        "difference": difference,
        "p_corrected": p_corrected,
    }
    results["comparisons"].append(results["comparisons"][0] | test)


@pytest.mark.parametrize(
    ("p_corrected", "sentence"),
    [
        (0.001, "Best baseline: markov (NDCG@10 0.1800, +67 %); the difference is significant (p = 0.001, corrected)."),
        (0.2, "Best baseline: markov (NDCG@10 0.1800, +67 %); no significant difference (p = 0.200, corrected)."),
    ],
)
def test_the_verdict_claims_no_more_than_its_test(results, p_corrected, sentence):
    add_test(results, "towers <b>", "markov", 0.12, p_corrected)
    assert verdict(results).startswith("towers <b> (NDCG@10 0.3000, recall@10 0.3000) has the highest NDCG. ")
    assert sentence in verdict(results)
    assert significant_pairs(results) == [("towers <b>", "masked"), *[("towers <b>", "markov")] * (p_corrected < 0.05)]


def test_runs_below_a_baseline_are_named_by_significance(results):
    results["models"][2]["metrics"]["ndcg@10"]["value"] = 0.9
    add_test(results, "masked", "markov", -0.7, 0.001)
    add_test(results, "towers <b>", "markov", -0.6, 0.06)
    assert verdict(results) == (
        "markov (baseline, NDCG@10 0.9000, recall@10 0.1800) has the highest NDCG. Significantly below it: masked. "
        "No significant difference to it: towers <b>."
    )


def test_unreachable_targets_and_skipped_users_are_one_line_each(results):
    results["protocol"]["targets_seen"] = 3
    results["skipped"] = {"no test event": 7}
    for report in (text(results), page(results)):
        assert "3 of 900 targets can never be hit: the user had the item before, and seen items are removed." in report
        assert "users skipped: 7 no test event." in report


@pytest.mark.slow
def test_runs_of_other_tasks_have_tables_of_their_own(results):
    clicks = {"auc": 0.71, "log_loss": 0.5, "calibration_error": 0.01, "impressions": 900.0, "click_rate": 0.2}
    results["runs"] = [
        {"run": "din", "split": "test", "metrics": clicks},
        {"run": "news", "split": "test", "metrics": {"accuracy": 0.9, "examples": 40}},
    ]
    for report in (text(results), page(results)):
        assert "Click-through rate" in report
        assert "Text models" in report
        assert "0.7100" in report
    assert 'id="text-models"' in page(results)


def test_names_with_dollar_signs_and_underscores_are_drawn(results):
    for model, name in zip(results["models"], ("$a$", "_b", "c$"), strict=False):
        model["name"] = name
    results["training"][0]["run"] = "$a$"
    svg = pictures.pictures(results)["recall_curve"]
    assert "$a$" in svg
    assert "_b" in svg


def test_baselines_tell_apart_without_colour(results):
    results["models"] += [copy.deepcopy(results["models"][2]) for _ in range(2)]
    svg = pictures.pictures(results)["recall_curve"]
    assert len(set(re.findall(r"stroke-dasharray: ([\d., ]+)", svg))) >= 3
