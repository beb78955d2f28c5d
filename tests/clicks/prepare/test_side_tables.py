import json

import polars as pl
import pytest

from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.errors import InputError

# training: 10 11 | 10 12; held out: 13 (twice), 14
LOG = [(1, 10, 1), (1, 11, 2), (1, 13, 3), (2, 10, 4), (2, 12, 5), (2, 13, 6), (3, 14, 7)]
CUT = SplitConfig(kind="time", validation=False, test_from="1970-01-01T00:00:06")
LOG_BEFORE = [(user, item, time if item not in (13, 14) else time + 10) for user, item, time in LOG]


@pytest.fixture
def items(tmp_path):
    def write(**columns):
        pl.DataFrame(columns).write_parquet(tmp_path / "items.parquet")
        return tmp_path / "items.parquet"

    return write


def named(dataset, name, codes):
    values = pl.read_parquet(dataset.folder / "item_features" / "values.parquet").filter(feature=name)
    table = {0: None, 1: "?"} | dict(zip(values["code"], values["value"], strict=True))
    return [[table[code] for code in row if code] for row in codes.tolist()]


def test_values_are_coded_from_trained_items_only(prepare, items):
    path = items(
        item_id=[10, 11, 12, 13, 99],
        tags=["a|b", "b", " b | c ", "c|held", "only here"],
        kind=["x", "y", "y", "z", "x"],
    )
    features = SideFeaturesConfig(multi=("tags",), categorical=("kind",))
    dataset = prepare(LOG_BEFORE, split=CUT, items=path, item_features=features)
    ids = dataset.items["item_id"].to_list()
    assert ids == [10, 11, 12, 13, 99]  # 13 and 99 are cold; 14 is in no table, hence unknown
    assert dataset.n_rows == dataset.vocabulary.size + 2
    first = dataset.vocabulary.first_item
    tags, kinds = dataset.item_features["tags"], dataset.item_features["kind"]
    assert tags.shape == (dataset.n_rows, 2)
    assert kinds.shape == (dataset.n_rows, 1)
    assert not tags[:first].any()
    assert named(dataset, "tags", tags[first:]) == [["a", "b"], ["b"], ["b", "c"], ["c", "?"], ["?"]]
    assert kinds[first:, 0].tolist() == [3, 2, 2, 1, 3]  # y twice before x once; z is never trained on
    assert dataset.item_feature_sizes == {"kind": 4, "tags": 5}
    entry = dataset.manifest.features["items"]["tags"]
    assert (entry["values_unknown_in_training"], entry["rows_with_a_value"]) == (2, 5)


@pytest.mark.parametrize("name", ["row", "trained", "id", "place", "value", "item_row", "count"])
def test_columns_may_be_called_anything(prepare, items, name):
    path = items(item_id=[12, 11, 10], **{name: ["z", "y", "x"]})
    dataset = prepare(LOG_BEFORE, split=CUT, items=path, item_features=SideFeaturesConfig(categorical=(name,)))
    first = dataset.vocabulary.first_item
    assert named(dataset, name, dataset.item_features[name][first:]) == [["x"], ["y"], ["z"]]
    column = f"{name}_side" if name in ("item_row", "count") else name
    assert dataset.items[column].to_list() == ["x", "y", "z"]


def test_a_feature_is_named_once():
    with pytest.raises(InputError, match=r"kind is named twice among a side table's features"):
        SideFeaturesConfig(categorical=("kind",), multi=("tags", "kind"))


def test_cold_items_have_rows_that_histories_point_to(prepare, items):
    dataset = prepare(LOG_BEFORE, split=CUT, items=items(item_id=[10, 13]))
    cold = dataset.vocabulary.size
    assert dataset.rows([13, 14, 12]).tolist() == [cold, 2, dataset.vocabulary.rows([12])[0]]
    assert dataset.vocabulary.rows([13]).tolist() == [2]
    assert dataset.ids([cold, 2, -1]).to_list() == [13, None, None]
    assert sorted(dataset.histories.items.tolist()) == sorted(dataset.rows([10, 11, 13, 10, 12, 13, 14]).tolist())
    assert dataset.manifest.cold["held_out_events_on_cold_items"] == 2
    assert dataset.manifest.cold["held_out_events_on_unknown_items"] == 1


def test_user_tables_are_joined_by_id(prepare, tmp_path):
    (tmp_path / "users.csv").write_text("who,sex,age\n3,f,20\n1,m,30\n9,m,40\n1,f,50\n,m,1\n", encoding="utf-8")
    features = SideFeaturesConfig(id="who", categorical=("sex",))
    dataset = prepare(LOG_BEFORE, split=CUT, users=tmp_path / "users.csv", user_features=features)
    assert dataset.users["age"].to_list() == ["30", None, "20"]
    # user 3 has no training event: her value is unknown to training
    assert dataset.user_features["sex"][:, 0].tolist() == [2, 0, 1]
    assert dataset.user_feature_sizes == {"sex": 3}
    assert dataset.manifest.side_tables["users"] == {
        "rows": 5,
        "without_usable_id": 1,
        "repeated_id": 1,
        "ragged": 0,
        "ids_in_log": 2,
    }


def test_a_json_object_is_a_table(prepare, tmp_path):
    (tmp_path / "attributes.json").write_text(json.dumps({"10": [7, 8], "12": [8], "13": []}), encoding="utf-8")
    features = SideFeaturesConfig(multi=("attributes",))
    dataset = prepare(LOG_BEFORE, split=CUT, items=tmp_path / "attributes.json", item_features=features)
    values = named(dataset, "attributes", dataset.item_features["attributes"])
    assert dict(zip(dataset.items["item_id"].to_list(), values[dataset.vocabulary.first_item :], strict=True)) == {
        10: ["7", "8"], 11: [], 12: ["8"], 13: [],
    }  # fmt: skip


def test_long_lists_are_cut_and_counted(prepare, items):
    path = items(item_id=[10, 11], tags=[["a", "b", "c"], ["a"]])
    dataset = prepare(
        LOG_BEFORE, split=CUT, items=path, item_features=SideFeaturesConfig(multi=("tags",), max_values=2)
    )
    assert dataset.item_features["tags"].shape[1] == 2
    assert dataset.manifest.features["items"]["tags"]["rows_cut_to_max_values"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multi": ("genre",)}, "has no column 'genre'; it has 'item_id', 'tags'"),
        ({"id": "tags"}, "no id in column 'tags'"),
        ({"categorical": ("tags",)}, "holds lists; name it with .multi"),
    ],
)
def test_side_tables_that_do_not_fit(prepare, items, options, message):
    with pytest.raises(InputError, match=message):
        prepare(
            LOG_BEFORE, split=CUT, items=items(item_id=[10], tags=[["a"]]), item_features=SideFeaturesConfig(**options)
        )


def test_features_without_a_table_are_refused(prepare):
    with pytest.raises(InputError, match=r"item_features names columns, but there is no table of items"):
        prepare(LOG, item_features=SideFeaturesConfig(multi=("genres",)))
