import polars as pl
import pytest

from recsys_bert.ctr.libfm import read_libfm
from recsys_bert.errors import InputError


@pytest.fixture
def libfm(tmp_path):
    path = tmp_path / "some.libfm"
    path.write_text("1 0:1 5:1\n-1 1:1 4:1\n+1 0:1 4:1\n")
    return path


@pytest.fixture
def feature_map(tmp_path):
    path = tmp_path / "map.tsv"
    path.write_text("field\tvalue\tindex\nuser\tann\t0\nuser\tbob\t1\ncity\trome\t4\ncity\toslo\t5\n")
    return path


def test_the_position_in_the_row_is_the_field(libfm):
    expected = pl.DataFrame(
        {"label": [1, -1, 1], "field_0": [0, 1, 0], "field_1": [5, 4, 4]},
        schema={"label": pl.Int64, "field_0": pl.Int32, "field_1": pl.Int32},
    )
    assert read_libfm(libfm).equals(expected)


def test_a_feature_map_names_the_fields(libfm, feature_map):
    assert read_libfm(libfm, feature_map).columns == ["label", "user", "city"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0:1 5:1\n0 1:1\n", "rows have 2 to 3 words"),
        ("1 0:1 5:0.5\n", "'5:0.5' is not 'index:1'"),
        ("yes 0:1\n", "'yes' is not an integer"),
        ("1 x:1\n", "'x' is not an integer"),
    ],
)
def test_what_is_not_one_hot_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.libfm"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_libfm(path)


def test_a_position_that_mixes_fields_is_refused(tmp_path, feature_map):
    path = tmp_path / "mixed.libfm"
    path.write_text("1 0:1 5:1\n0 4:1 1:1\n")
    with pytest.raises(InputError, match="several fields"):
        read_libfm(path, feature_map)
    path.write_text("1 0:1 7:1\n")
    with pytest.raises(InputError, match="several fields, or of none"):
        read_libfm(path, feature_map)
    path.write_text("1 0:1 1:1\n")
    with pytest.raises(InputError, match="the same field"):
        read_libfm(path, feature_map)


def test_missing_files_are_named(tmp_path, libfm):
    with pytest.raises(InputError, match="cannot be read"):
        read_libfm(tmp_path / "none.libfm")
    with pytest.raises(InputError, match=r"cannot be read as columns field, value, index"):
        read_libfm(libfm, tmp_path / "none.tsv")


@pytest.mark.shared_data
def test_frappe_has_ten_fields(shared_data):
    folder = shared_data / "frappe"
    frame = read_libfm(folder / "frappe.validation.libfm", folder / "feature_map.tsv")
    assert frame.shape == (57_722, 11)
    assert frame.columns[1:] == (
        ["user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city"]
    )
