"""Whatever happens after the cut: vocabulary, counts and features stay what they were."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.prepare.catalogue import Catalogue
from recsys_bert.clicks.prepare.config import FilterConfig, SplitConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.prepare.leaks import check_no_leak
from recsys_bert.clicks.prepare.side_tables import Feature

RANDOM = np.random.default_rng(3)
BEFORE = [
    (int(u), int(i), int(t)) for u, i, t in zip(*RANDOM.integers([0, 0, 0], [12, 9, 80], (150, 3)).T, strict=True)
]
CUT = SplitConfig(kind="time", validation_from="1970-01-01T00:01:20", test_from="1970-01-01T00:01:30")
ONE_AFTER = [(1, 3, 85), (2, 4, 95)]
OTHER_AFTER = [(user, item, time) for user in range(20) for item, time in ((0, 80), (8, 84), (50, 90), (51, 99))]


def parts(dataset):
    """Parts of the folder that training reads."""
    data = dataset.histories
    trained = [data.items[a:b].tolist() for a, b in zip(data.offsets, data.train_end, strict=False) if b > a]
    values = pl.read_parquet(dataset.folder / "item_features" / "values.parquet").rows()
    table = dataset.vocabulary
    return table.item_ids.to_list(), table.counts.tolist(), trained, values, dataset.fingerprint


@pytest.mark.parametrize("filters", [FilterConfig(), FilterConfig(min_user_events=8, min_item_events=12)])
def test_other_held_out_events_change_nothing_that_is_learnt_from(prepare, tmp_path, filters):
    table = tmp_path / "items.parquet"
    pl.DataFrame(
        {"item_id": [*range(9), 50, 51], "kind": ["ab"[i % 2] for i in range(9)] + ["held out", "b"]}
    ).write_parquet(table)
    side = {"items": table, "item_features": SideFeaturesConfig(categorical=("kind",))}
    one = prepare(BEFORE + ONE_AFTER, "one", split=CUT, filters=filters, **side)
    other = prepare(OTHER_AFTER + BEFORE, "other", split=CUT, filters=filters, **side)
    assert parts(one) == parts(other)
    assert one.manifest.split["check"] == {"checked": ["counts", "vocabulary", "features", "times"], "leaks": 0}


@pytest.fixture
def dataset(prepare):
    return prepare(BEFORE + ONE_AFTER, split=CUT)


def check(dataset, counts=None, cut=(80, 90), features=None):
    vocabulary = dataset.vocabulary if counts is None else replace(dataset.vocabulary, counts=counts)
    catalogue = Catalogue(vocabulary, pl.Series([], dtype=pl.Int64), np.zeros(0, np.int32), 0)
    return check_no_leak(dataset.histories, catalogue, features or {}, cut)


def test_the_check_accepts_what_is_clean(dataset):
    assert check(dataset)["leaks"] == 0


def test_the_check_finds_counts_over_all_events(dataset):
    with pytest.raises(AssertionError, match="counts"):
        check(dataset, counts=np.bincount(dataset.histories.items, minlength=dataset.vocabulary.size))


def test_the_check_finds_training_events_after_the_cut(dataset):
    with pytest.raises(AssertionError, match="after the cut"):
        check(dataset, cut=(70, 90))


def test_the_check_finds_a_value_that_no_trained_item_has(dataset):
    codes = np.full((dataset.n_rows, 1), 2, np.int32)
    leaky = Feature("kind", codes, pl.Series(["a", "only held out"]))
    with pytest.raises(AssertionError, match="values of the items feature 'kind'"):
        check(dataset, features={"items": [leaky]})
