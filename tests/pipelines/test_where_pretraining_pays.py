"""Benchmark of pretraining: what a scenario takes away, the untrained sum, and the table of what is filled."""

import numpy as np
import polars as pl
import pytest

from pipelines.benchmarks.pretraining.cells import Workshop
from pipelines.benchmarks.pretraining.logs import restricted
from pipelines.benchmarks.pretraining.report import write_report
from pipelines.benchmarks.pretraining.untrained import Untrained
from pipelines.benchmarks.where_pretraining_pays import cells
from recsys_bert.clicks.histories import ranges
from recsys_bert.clicks.queries import Queries
from recsys_bert.files import read_json
from recsys_bert.stages.prepare import prepare


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    random = np.random.default_rng(0)
    users, items = np.repeat(np.arange(60), 8), random.integers(0, 40, 480)
    frame = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": np.arange(480)})
    return prepare(frame, out=tmp_path_factory.mktemp("log") / "data")


def test_few_users_train_and_all_are_tested(log):
    few, unseen = restricted(log, "10 %", seed=0)
    data = few.histories
    trained = data.train_end > data.offsets[:-1]
    assert trained.sum() == 6
    items = np.concatenate([data.items[a:b] for a, b in zip(data.offsets[:-1], data.train_end, strict=True)])
    assert set(np.flatnonzero(~unseen)) == set(items.tolist())
    assert len(Queries.of(few, "test")) == len(Queries.of(log, "test"))
    assert len(Queries.of(few, "validation")) == 6


def test_cold_items_lose_all_events_before_the_test_and_none_of_it(log):
    cold, unseen = restricted(log, "cold items", seed=0)
    data = cold.histories
    before = np.concatenate([data.items[a:b] for a, b in zip(data.offsets[:-1], data.validation_end, strict=True)])
    assert not unseen[data.items[ranges(data.offsets[:-1], data.train_end - data.offsets[:-1])]].any()
    gone = set(range(3, log.vocabulary.size)) - set(before.tolist())
    assert len(gone) >= (log.vocabulary.size - 3) // 10
    assert (~unseen).sum() < log.vocabulary.size - 3
    tests = [
        one.histories.items[one.histories.validation_end[user] : one.histories.offsets[user + 1]]
        for one in (log, cold)
        for user in range(60)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(tests[:60], tests[60:], strict=True))


def test_the_untrained_sum_ranks_items_of_the_same_text_where_nothing_else_speaks(log):
    text = np.zeros((log.n_rows, 4), np.float32)
    text[np.arange(log.n_rows), np.arange(log.n_rows) % 4] = 1
    model = Untrained(text).fit(log)
    model.weights = (100.0, 0.0)
    queries = Queries.from_lists([[7, 11, 15]])
    ranked = model.rank(queries, 5)[0]
    assert all(row % 4 == 3 for row in ranked)
    assert not set(ranked.tolist()) & {7, 11, 15}
    assert model.pairs(queries, np.array([19], np.int32))[0] > model.pairs(queries, np.array([20], np.int32))[0]


def test_the_table_has_what_is_filled_and_says_what_is_empty(tmp_path):
    workshop = Workshop(tmp_path / "data", tmp_path, 10, 10, 1)
    every, random = list(cells(["ml-100k", "amazon-beauty"], 2)), np.random.default_rng(0)
    base = random.random(200)
    for cell in every:
        if (cell.log, cell.scenario) == ("ml-100k", "10 %") and cell.task == "retrieval" and cell.start != "masked":
            better = 0.1 if cell.start == "elsewhere" else 0.0
            values = base + better + 0.01 * random.random(200)
            np.savez(tmp_path / "cells" / cell.file.removesuffix(".npz"), values=values, seconds=1.0)
    write_report(tmp_path, every, workshop)
    table = (tmp_path / "table.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| retrieval | ml-100k | 10 %"))
    names = ["random", "ppmi", "masked", "elsewhere", "untrained"]
    texts = dict(zip(names, row.strip("| ").split(" | ")[3:], strict=True))
    assert texts["masked"] == "empty"
    assert texts["elsewhere"].endswith("(2)*")
    assert not texts["ppmi"].endswith("*")
    (pair,) = read_json(tmp_path / "table.json")["transfer"]
    assert pair["elsewhere"] - pair["untrained"] == pytest.approx(0.1, abs=0.01)
    assert (tmp_path / "table.png").stat().st_size > 1000
