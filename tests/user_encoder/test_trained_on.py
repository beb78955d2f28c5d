"""A run that was trained on a log's held-out events is not evaluated there without a word."""

import json

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from recsys_bert.user_encoder.trained_on import first_target, overlap, overlap_with_times, trained_on, training_events

SMALL = {
    "encoder": {"dim": 8, "n_layers": 1, "n_heads": 1, "max_len": 8},
    "train": {"epochs": 1, "device": "cpu", "precision": "fp32"},
}
RANDOM = np.random.default_rng(0)
LOG = pl.DataFrame(
    {
        "user_id": np.repeat(np.arange(30), 10),
        "item_id": RANDOM.integers(0, 9, 300),
        "timestamp": 1_600_000_000 + RANDOM.permutation(300) * 3600,
    }
)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The log cut by time, cut later, cut user by user, and its events of before the first cut's test alone."""
    folder = tmp_path_factory.mktemp("logs")
    cut = np.quantile(LOG["timestamp"], 0.7)
    by_time = {"kind": "time", "validation_from": 0.6, "test_from": 0.7}
    settings = {
        "late": (LOG, {"kind": "time", "validation_from": 0.85, "test_from": 0.9}),
        "users": (LOG, {"kind": "leave_one_out"}),
        "before": (LOG.filter(pl.col("timestamp") < cut), {"kind": "leave_one_out", "validation": False}),
    }
    early = rb.prepare(LOG, out=folder / "early", split=by_time)
    rows = {"of": early.folder}  # the same items in the same rows, so that their runs may be exchanged
    others = {
        name: rb.prepare(log, out=folder / name, split=split, vocabulary=rows)
        for name, (log, split) in settings.items()
    }
    return {"early": early, **others}


@pytest.fixture(scope="module")
def runs(logs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, log in logs.items():
        rb.train_retrieval(log, out=folder / name, **SMALL)
    return folder


def test_the_record_says_what_a_run_was_trained_on(logs, runs):
    (record,) = trained_on(runs / "early")
    histories = logs["early"].histories
    trained = [histories.times[a:b] for a, b in zip(histories.offsets[:-1], histories.train_end, strict=True)]
    assert record == training_events(logs["early"])
    assert record.last == max(times.max() for times in trained if len(times))
    held_out = [histories.times[a:b] for a, b in zip(histories.validation_end, histories.offsets[1:], strict=True)]
    assert first_target(logs["early"], "test") == min(times.min() for times in held_out if len(times))
    assert len({training_events(log).digest for log in logs.values()}) == 4


@pytest.mark.parametrize(("run", "warned"), [("early", False), ("before", False), ("late", True), ("users", True)])
def test_only_a_run_that_may_know_the_targets_is_warned_of(logs, runs, run, warned):
    note = overlap(runs / run, logs["early"], "test")
    assert (note is not None) == warned
    if warned:
        assert note.startswith(f"{run} was trained on other events")
        assert "until 2020-" in note


def test_the_evaluation_says_it(logs, runs):
    late = runs / "late"
    evaluation = rb.evaluate([runs / "early", late], logs["early"])
    notes = [note for note in evaluation.results["notes"] if "was trained on other events" in note]
    assert len(notes) == 1
    assert notes[0].startswith("late")
    assert notes[0] in str(evaluation)


def test_a_run_inherits_what_its_start_was_trained_on(logs, runs, tmp_path):
    rb.train_retrieval(logs["early"], init=runs / "late", out=tmp_path / "on", train=SMALL["train"])
    assert trained_on(tmp_path / "on") == [training_events(logs["early"]), training_events(logs["late"])]
    assert overlap(tmp_path / "on", logs["early"], "test")


def test_impressions_before_the_encoders_last_event(runs):
    last = json.loads((runs / "early" / "trained_on.json").read_text())["logs"][0]["last"]
    assert overlap_with_times(runs / "early", last + 1, "impressions") is None
    assert overlap_with_times(runs / "early", None, "impressions") is None
    assert "impressions, which begin at 2020-" in overlap_with_times(runs / "early", last, "impressions")
