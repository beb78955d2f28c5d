import numpy as np
import polars as pl
import pytest

from recsys_bert.ctr.config import FeaturesConfig
from recsys_bert.ctr.features import FIRST, MISSING, UNSEEN, Features
from recsys_bert.ctr.values import as_numbers, as_text
from recsys_bert.errors import InputError


def _fit(train, **settings):
    return Features.fit(pl.DataFrame(train), FeaturesConfig(**settings), [])


def test_values_are_numbered_by_training_count_and_unseen_ones_share_a_row():
    features = _fit({"c": ["b", "a", "b", "c", None]}, categorical=("c",))
    encoded = features.encode(pl.DataFrame({"c": ["b", "a", "c", "new", None, ""]}))
    # row 0 of the table is padding, so everything is one up
    assert encoded.ids.T.tolist() == [[1 + FIRST, 2 + FIRST, 3 + FIRST, 1 + UNSEEN, 1 + MISSING, 1 + MISSING]]
    assert encoded.ids.dtype == np.int32
    assert encoded.counts == {"c: unseen in training": 1, "c: missing": 2}


def test_rare_values_are_treated_as_unseen():
    features = _fit({"c": ["b", "b", "a"]}, categorical=("c",), min_count=2)
    assert features.encode(pl.DataFrame({"c": ["a", "b"]})).ids.T.tolist() == [[1 + UNSEEN, 1 + FIRST]]


def test_ids_mean_the_same_whatever_a_file_makes_of_them():
    features = _fit({"c": [3, 3, 10]}, categorical=("c",))
    expected = [[1 + FIRST], [2 + FIRST], [1 + MISSING]]
    for column in ([3, 10, None], [3.0, 10.0, None], ["3", "10", ""], [3.0, 10.0, float("nan")]):
        assert features.encode(pl.DataFrame({"c": column})).ids.tolist() == expected
    assert as_text(pl.Series(["3.0", "-3.00", "3.50", "v3.0", "10", ""])).to_list() == [
        "3", "-3", "3.50", "v3.0", "10", None,
    ]  # fmt: skip
    column = pl.Series([0.5, 3.0, -0.0, 1e300, float("inf"), float("nan"), None])
    assert as_text(column).to_list() == ["0.5", "3", "0", "1e+300", "inf", None, None]


def test_a_value_means_the_same_whatever_stands_beside_it():
    features = _fit({"c": [3.0, 3.0, 0.5]}, categorical=("c",))
    assert features.encode(pl.DataFrame({"c": [3.0, None]})).ids.tolist() == [[1 + FIRST], [1 + MISSING]]
    assert features.encode(pl.DataFrame({"c": ["3", "0.5"]})).ids.tolist() == [[1 + FIRST], [2 + FIRST]]


def test_standardised_numbers_use_the_training_mean_and_std():
    train = [1.0, 2.0, 3.0, None, float("nan")]
    features = _fit({"x": train}, numeric=("x",), numeric_as="standardise")
    encoded = features.encode(pl.DataFrame({"x": [2.0, 4.0, None]}))
    std = np.std([1, 2, 3])
    np.testing.assert_allclose(encoded.numbers[:, 0], [0, 2 / std, 1], rtol=1e-6)
    assert encoded.ids.T.tolist() == [[2, 2, 1]]  # a missing number has a row of its own
    assert encoded.counts == {"x: missing": 1}
    assert features.layout.number_columns == [0]


def test_buckets_hold_equal_shares_of_training():
    train = np.random.default_rng(0).permutation(1000).astype(float)
    features = _fit({"x": train}, numeric=("x",), n_buckets=4)
    ids = features.encode(pl.DataFrame({"x": train})).ids[:, 0]
    assert np.bincount(ids)[2:].tolist() == [250, 250, 250, 250]
    low, high, gap = features.encode(pl.DataFrame({"x": [-1e9, 1e9, None]})).ids[:, 0]
    assert (low, high, gap) == (2, 5, 1)
    assert features.layout.n_values == 1 + 5


def test_a_constant_number_divides_by_one():
    features = _fit({"x": [2.0, 2.0]}, numeric=("x",), numeric_as="standardise")
    assert features.encode(pl.DataFrame({"x": [2.0, 5.0]})).numbers[:, 0].tolist() == [0.0, 3.0]


@pytest.mark.parametrize(
    ("column", "message"),
    [(["1", "two"], "row 2: 'two' is not a finite number; 1 such"), ([1.0, float("inf")], "row 2: inf is not")],
)
def test_what_is_no_number_is_refused(column, message):
    with pytest.raises(InputError, match=message):
        _fit({"x": column}, numeric=("x",))
    with pytest.raises(InputError, match="no number in training"):
        _fit({"x": ["", ""]}, numeric=("x",))


@pytest.mark.parametrize(
    ("role", "column", "message"),
    [
        ("categorical", [["a", "b"]], r"'c' is of type List\(String\), .* name lists under features\.multi"),
        ("numeric", [[1.0, 2.0]], r"'c' is of type List\(Float64\), .* name lists under features\.multi"),
        ("categorical", [b"\xff"], "'c' is of type Binary"),
        ("multi", [[["a"]]], "convert it to lists of text"),
    ],
)
def test_types_that_cannot_be_read_are_refused(role, column, message):
    with pytest.raises(InputError, match=message):
        _fit({"c": column}, **{role: ("c",)})


def test_numbers_of_a_categorical_type_are_numbers():
    column = pl.Series(["1.5", "2", None], dtype=pl.Categorical)
    assert as_numbers(column).tolist()[:2] == [1.5, 2.0]


@pytest.mark.parametrize("column", [["y x y", "x", "", None], [["y", "x", "y"], ["x"], [], None]])
def test_multi_valued_cells_keep_their_values_in_order(column):
    features = _fit({"m": column}, multi=("m",))
    field = features.layout.fields[0]
    assert (field.width, features.values["m"].to_list()) == (3, ["x", "y"])
    x, y, gap, new = 1 + FIRST, 2 + FIRST, 1 + MISSING, 1 + UNSEEN
    assert features.encode(pl.DataFrame({"m": column})).ids.tolist() == [[y, x, y], [x, 0, 0], [gap, 0, 0], [gap, 0, 0]]
    longer = features.encode(pl.DataFrame({"m": ["x z x y y", "x  y"]}))
    assert longer.ids.tolist() == [[x, new, x], [x, y, 0]]
    assert longer.counts == {"m: values unseen in training": 1, "m: values beyond the first 3": 2}


def test_fields_lie_one_after_the_other_in_the_table():
    train = {"u": [1, 2], "c": ["a", "b"], "x": [1.0, 2.0], "m": ["p q", "p"]}
    config = FeaturesConfig(categorical=("c", "u"), numeric=("x",), multi=("m",), numeric_as="standardise")
    features = Features.fit(pl.DataFrame(train), config, ["u"])
    layout = features.layout
    assert [field.name for field in layout.fields] == ["u", "c", "x", "m"]  # ids lead, and are not taken twice
    assert layout.offsets == [1, 5, 9, 11]
    assert layout.n_values == 15
    assert (layout.column_fields, layout.number_columns) == ([0, 1, 2, 3, 3], [2])
    ids = features.encode(pl.DataFrame(train)).ids
    for field, offset in zip(range(4), layout.offsets, strict=True):
        block = ids[:, [column for column, owner in enumerate(layout.column_fields) if owner == field]]
        block = block[block > 0]
        assert block.min() >= offset
        assert block.max() < offset + layout.fields[field].size


def test_nothing_is_learned_from_other_splits():
    train = pl.DataFrame({"c": ["a"], "x": [1.0], "m": ["p"]})
    features = _fit(train, categorical=("c",), numeric=("x",), multi=("m",))
    before = (features.values["c"].to_list(), features.numbers["x"], features.values["m"].to_list())
    features.encode(pl.DataFrame({"c": ["z"], "x": [99.0], "m": ["q"]}))
    assert (features.values["c"].to_list(), features.numbers["x"], features.values["m"].to_list()) == before


def test_saved_features_encode_the_same(tmp_path):
    train = pl.DataFrame({"c": ["a", "b", "a"], "x": [1.0, None, 3.0], "z": [1, 2, 3], "m": ["p q", "", "q"]})
    features = _fit(train, categorical=("c",), numeric=("x", "z"), multi=("m",))
    features.save(tmp_path)
    again = Features.load(tmp_path)
    assert again.layout == features.layout
    np.testing.assert_array_equal(again.encode(train).ids, features.encode(train).ids)
    (tmp_path / "features.parquet").write_bytes(b"damaged")
    with pytest.raises(InputError, match="Train it again"):
        Features.load(tmp_path)


def test_a_column_named_twice_is_refused():
    with pytest.raises(InputError, match="c is named twice"):
        FeaturesConfig(categorical=("c",), multi=("c",))


def test_values_of_lists_mean_the_same_whatever_a_file_makes_of_them():
    features = _fit({"m": ["3 10", "3"]}, multi=("m",))
    expected = [[1 + FIRST, 2 + FIRST], [1 + FIRST, 0]]
    for column in ([[3, 10], [3]], [[3.0, 10.0], [3.0]], ["3.0 10.0", "3.0"]):
        assert features.encode(pl.DataFrame({"m": column})).ids.tolist() == expected


def test_a_column_may_have_a_separator_of_its_own(tmp_path):
    train = pl.DataFrame({"genres": ["a|b c", "b c"], "tags": ["x y", "y"]})
    features = Features.fit(train, FeaturesConfig(multi=("genres", "tags"), separators={"genres": "|"}), [])
    assert features.values["genres"].to_list() == ["b c", "a"]
    assert features.values["tags"].to_list() == ["y", "x"]
    features.save(tmp_path)
    again = Features.load(tmp_path)
    np.testing.assert_array_equal(again.encode(train).ids, features.encode(train).ids)
    assert again.encode(train).counts == {}
    with pytest.raises(InputError, match="a separator is empty"):
        FeaturesConfig(multi=("genres",), separators={"genres": ""})
