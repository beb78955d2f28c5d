from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recsys_bert.ctr.config import ColumnsConfig, CTRConfig, FeaturesConfig
from recsys_bert.ctr.split_config import TimeSplitConfig
from recsys_bert.ctr.splits import read_splits
from recsys_bert.errors import InputError

CONFIG = CTRConfig(
    columns=ColumnsConfig(user="u", time="t", label="y"), features=FeaturesConfig(categorical=("extra",))
)


def _frame(times):
    n = len(times)
    return pl.DataFrame({"u": range(n), "t": times, "y": [0, 1] * (n // 2), "extra": ["a"] * n})


def _splits(times, split=None, dataset=None):
    return read_splits({"train": _frame(times)}, CONFIG, split or TimeSplitConfig(), dataset)


def _log(validation_from, test_from):
    """A prepared log, as far as splits read it."""
    borders = {"validation_from": validation_from, "test_from": test_from}
    return SimpleNamespace(folder="data", manifest=SimpleNamespace(split=borders))


def test_one_table_is_cut_at_quantiles_of_time():
    times = np.random.default_rng(0).permutation(100)
    splits = _splits(times)
    assert {name: (part.times.min(), part.times.max()) for name, part in splits.items()} == {
        "train": (0, 79),
        "validation": (80, 89),
        "test": (90, 99),
    }
    for part in splits.values():  # rows stay together
        assert (times[part.frame["u"]] == part.times).all()
        assert part.frame.columns == ["u", "t", "extra"]


def test_equal_timestamps_stay_in_one_part():
    splits = _splits([5] * 6 + [6] * 2 + [7] * 2, TimeSplitConfig(validation_from=0.7, test_from=0.9))
    assert [len(part) for part in splits.values()] == [6, 2, 2]


def test_the_prepared_log_sets_the_cut_unless_the_settings_do():
    times = list(range(100))
    assert [len(part) for part in _splits(times, dataset=_log(50, 60)).values()] == [50, 10, 40]
    split = TimeSplitConfig(validation_from=0.7, test_from="1970-01-01T00:01:35")
    assert [len(part) for part in _splits(times, split, _log(50, 60)).values()] == [70, 25, 5]


def test_validation_before_the_end_of_the_training_log_is_refused():
    with pytest.raises(InputError, match="would know their future"):
        _splits(list(range(100)), TimeSplitConfig(validation_from=0.4), _log(50, 60))


def test_a_cut_that_leaves_a_part_empty_is_refused():
    with pytest.raises(InputError, match="no impression falls into train"):
        _splits(list(range(10)), dataset=_log(0, 5))


def test_a_part_with_one_class_is_refused():
    frame = _frame([1, 2]).with_columns(y=1)
    with pytest.raises(InputError, match="all 2 impressions of validation are clicks by 'y'"):
        read_splits({"train": _frame([1, 2]), "validation": frame}, CONFIG, TimeSplitConfig(), None)


def test_validation_and_test_tables_are_not_cut(tmp_path):
    _frame([1, 2]).write_csv(tmp_path / "validation.csv")
    sources = {"train": _frame([1, 2, 3, 4]), "validation": tmp_path / "validation.csv"}
    splits = read_splits(sources, CONFIG, TimeSplitConfig(), None)
    assert {name: len(part) for name, part in splits.items()} == {"train": 4, "validation": 2}
