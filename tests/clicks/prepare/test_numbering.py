from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_bert.clicks.prepare import numbering as module
from recsys_bert.clicks.prepare.numbering import batches, number

IDS = st.one_of(
    st.lists(st.integers(-5, 20), min_size=1, max_size=50),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20),
    st.lists(st.text("ab书", max_size=3), min_size=1, max_size=50),
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(ids=IDS, span=st.sampled_from([0, 10, 1 << 22]), size=st.sampled_from([1, 7, 1000]))
def test_a_number_is_the_place_among_the_sorted_ids(monkeypatch, ids, span, size):
    monkeypatch.setattr(module, "SPAN", span)
    rows = pl.LazyFrame({"place": range(len(ids)), "item": ids}, strict=False)
    numbering = number(rows, "item", len(ids), size)
    expected = sorted(set(ids))
    assert numbering.ids.to_list() == expected
    assert numbering.counts.tolist() == [Counter(ids)[one] for one in expected]
    parts = list(batches(numbering.joined(rows), size))
    numbers = np.concatenate([numbering.of(part["item"]) for part in parts])
    assert numbers.dtype == np.int32
    assert numbers.tolist() == [expected.index(one) for one in ids]
    assert pl.concat(parts)["place"].to_list() == list(range(len(ids)))  # rows keep their order


@pytest.mark.parametrize(("ids", "tabled"), [([5, 5, 7], True), ([5, 5 + (1 << 22)], False), (["a", "b"], False)])
def test_only_integers_close_together_get_a_table(ids, tabled):
    assert (number(pl.LazyFrame({"user": ids}), "user", 3, 10).table is not None) is tabled
