import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bert.clicks.histories import Histories, gather, ranges
from recsys_bert.errors import InputError

SPANS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=12)


@settings(max_examples=50, deadline=None)
@given(spans=SPANS, max_len=st.integers(1, 8))
def test_gather_matches_a_plain_loop(spans, max_len):
    items = np.arange(100, 120, dtype=np.int32)
    start, stop = (np.array([span[side] for span in spans], np.int64) for side in (0, 1))
    rows, lengths = gather(items, start, stop, max_len)
    expected = [items[a:b][-max_len:].tolist() if b > a else [] for a, b in spans]
    longest = max(map(len, expected), default=0)
    assert rows.dtype == np.int32
    assert lengths.tolist() == [len(one) for one in expected]
    assert rows.tolist() == [one + [0] * (longest - len(one)) for one in expected]


def test_ranges():
    assert ranges(np.array([5, 1, 7]), np.array([2, 0, 3])).tolist() == [5, 6, 7, 8, 9]


@pytest.fixture
def histories():
    return Histories(
        items=np.array([3, 4, 5, 6, 3], np.int32),
        times=np.array([10, 20, 30, 1, 2]),
        weights=np.array([1, 2, 1, 1, 0.5], np.float32),
        offsets=np.array([0, 3, 3, 5]),
        train_end=np.array([1, 3, 5]),
        validation_end=np.array([2, 3, 5]),
    )


@pytest.mark.parametrize("weighted", [True, False])
def test_saved_histories_are_mapped_as_they_were(histories, tmp_path, weighted):
    if not weighted:
        histories = Histories(**{**vars(histories), "weights": None})
    histories.save(tmp_path / "histories.arrow")
    loaded = Histories.load(tmp_path / "histories.arrow")
    assert loaded.n_users == 3
    for name, value in vars(histories).items():
        if value is None:
            assert getattr(loaded, name) is None
        else:
            np.testing.assert_array_equal(getattr(loaded, name), value)
            assert getattr(loaded, name).dtype == value.dtype
    assert not loaded.items.flags.owndata  # a view of the mapped file, not a copy


def test_damaged_histories_are_refused(histories, tmp_path):
    path = tmp_path / "histories.arrow"
    histories.save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read as histories"):
        Histories.load(path)
    with pytest.raises(InputError, match="cannot be read as histories"):
        Histories.load(tmp_path / "none.arrow")
