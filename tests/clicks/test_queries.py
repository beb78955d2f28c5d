import numpy as np
import pytest

from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.evaluation.ranking import per_user

LOG = [(1, 10, 1), (1, 11, 2), (1, 10, 3), (1, 13, 4), (2, 10, 5), (2, 11, 6), (3, 12, 7), (3, 10, 8), (3, 11, 9)]


def ids(dataset, rows):
    return dataset.ids(rows).to_list()


@pytest.fixture
def dataset(prepare):
    return prepare(LOG)


def test_test_queries_see_training_and_validation(dataset):
    queries = Queries.of(dataset, "test")
    assert dataset.user_ids.gather(queries.users).to_list() == [1, 3]
    rows, lengths = queries.inputs(max_len=10)
    assert [ids(dataset, row[:n]) for row, n in zip(rows, lengths, strict=True)] == [[10, 11, 10], [12, 10]]
    assert queries.times.tolist() == [4, 9]
    index, targets = queries.targets()
    assert index.tolist() == [0, 1]
    assert ids(dataset, targets) == [None, 11]  # 13 occurs in no training part
    assert queries.skipped == {"no test event": 1, "no event before test": 0}


def test_validation_queries_see_training_only(dataset):
    queries = Queries.of(dataset, "validation")
    rows, lengths = queries.inputs(max_len=1)  # the last one
    assert ids(dataset, rows[:, 0]) == [11, 12]
    assert lengths.tolist() == [1, 1]
    assert ids(dataset, queries.targets()[1]) == [10, 10]


def test_seen_items_are_unique_pairs_over_the_whole_input(dataset):
    index, rows = Queries.of(dataset, "test").seen()
    pairs = {(query, row) for query, row in zip(index.tolist(), rows.tolist(), strict=True)}
    first, second, third = dataset.rows([10, 11, 12]).tolist()
    assert pairs == {(0, first), (0, second), (1, third), (1, first)}
    assert len(index) == len(pairs)


def test_slices_keep_what_they_slice(dataset):
    queries = Queries.of(dataset, "test")
    last = queries[1:]
    assert len(last) == 1
    assert last.targets()[0].tolist() == [0]
    assert last.seen()[1].tolist() == queries.seen()[1][queries.seen()[0] == 1].tolist()
    both = queries[np.array([1, 0])]
    assert both.users.tolist() == queries.users[::-1].tolist()


def test_time_cut_skips_users_without_history_and_says_so(prepare):
    log = [(1, 10, 10), (1, 11, 60), (1, 12, 95), (2, 10, 20), (3, 10, 97), (4, 11, 30), (4, 10, 96), (4, 10, 98)]
    cut = SplitConfig(kind="time", validation_from="1970-01-01T00:00:50", test_from="1970-01-01T00:01:30")
    dataset = prepare(log, split=cut)
    queries = Queries.of(dataset, "test")
    assert dataset.user_ids.gather(queries.users).to_list() == [1, 4]
    assert queries.skipped == {"no test event": 1, "no event before test": 1}
    assert (queries.target_stop - queries.stop).tolist() == [1, 2]
    assert queries.targets()[0].tolist() == [0, 1, 1]
    assert dataset.manifest.cold["test_users_without_history"] == 1


def test_a_repeated_target_counts_once_and_two_unknown_ones_twice(prepare):
    log = list(zip([1] * 7, [10, 11, 11, 10, 20, 10, 21], [10, 20, 60, 96, 97, 98, 99], strict=True))
    cut = SplitConfig(kind="time", validation_from="1970-01-01T00:00:50", test_from="1970-01-01T00:01:30")
    dataset = prepare(log, split=cut)
    queries = Queries.of(dataset, "test")
    assert ids(dataset, queries.targets()[1]) == [10, None, 10, None]
    first = dataset.vocabulary.first_item
    values = per_user(dataset.rows([10, 11])[None], queries.targets(), 1, (2,), first)
    assert values["recall@2"].tolist() == [pytest.approx(1 / 3)]


def test_histories_given_on_the_fly():
    queries = Queries.from_lists([[5, 6, 7], [], [9]], times=[100, 200, 300])
    rows, lengths = queries.inputs(2)
    assert rows.tolist() == [[6, 7], [0, 0], [9, 0]]
    assert lengths.tolist() == [2, 0, 1]
    assert queries.seen()[0].tolist() == [0, 0, 0, 2]
    assert not len(queries.targets()[0])
    assert queries.times.tolist() == [100, 200, 300]
    assert len(Queries.from_lists([])) == 0


def test_times_of_the_inputs():
    queries = Queries.from_lists([[5, 6, 7], [], [9]], event_times=[[10, 20, 30], [], [7]])
    assert queries.input_times(2).tolist() == [[20, 30], [0, 0], [7, 0]]
    assert queries[1:].input_times(2).tolist() == [[0], [7]]
    with pytest.raises(InputError, match="these histories have no times"):
        Queries.from_lists([[5, 6]])[:1].input_times(2)
    with pytest.raises(InputError, match=r"event_times has \[1, 1\] times per query; the lists have \[2, 1\] items"):
        Queries.from_lists([[5, 6], [7]], event_times=[[10], [20]])


def test_a_log_without_times_has_none_to_give(prepare):
    queries = Queries.of(prepare([row[:2] for row in LOG], log_options={"time": None}), "test")
    with pytest.raises(InputError, match="these histories have no times"):
        queries.input_times(5)
