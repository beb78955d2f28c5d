import polars as pl
import pytest

from recsys_bert.clicks.prepare.config import LogConfig, SplitConfig
from recsys_bert.errors import InputError

NO_SPLIT = SplitConfig(kind="none")


def csv(tmp_path, *lines):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def shop(tmp_path):
    return csv(
        tmp_path,
        "user_id,item_id,timestamp,kind,stars",
        "1,10,1,view,5",
        "1,11,2,cart,4",
        "1,12,3,view,1",
        "1,13,4,purchase,3",
        "1,14,5,refund,2",
    )


def test_event_types_are_weighted_and_dropped(prepare, shop):
    options = {"event": "kind", "events": {"view": 1.0, "purchase": 3.0, "refund": 0.0}}
    dataset = prepare(shop, log_options=options, split=NO_SPLIT)
    assert dataset.histories.weights.tolist() == [1.0, 1.0, 3.0]
    assert dataset.manifest.filters[0]["reasons"] == {"event type dropped": 2}
    assert dataset.manifest.log["event_types"] == {"cart": 1, "purchase": 1, "refund": 1, "view": 2}
    assert dataset.manifest.has_weights


def test_other_event_types_can_be_kept_or_refused(prepare, shop):
    options = {"event": "kind", "events": {"purchase": 3.0}}
    dataset = prepare(shop, log_options={**options, "other_events": "keep"}, split=NO_SPLIT)
    assert dataset.histories.weights.tolist() == [1.0, 1.0, 1.0, 3.0, 1.0]
    with pytest.raises(InputError, match=r"\['cart', 'refund', 'view'\] have no weight"):
        prepare(shop, log_options={**options, "other_events": "error"}, split=NO_SPLIT)


def test_a_weight_column_multiplies_and_its_minimum_drops(prepare, shop):
    options = {"event": "kind", "events": {"view": 2.0}, "weight": "stars"}
    assert prepare(shop, log_options=options, split=NO_SPLIT).histories.weights.tolist() == [10.0, 2.0]
    dataset = prepare(shop, log_options={**options, "min_weight": 3}, split=NO_SPLIT)
    assert dataset.histories.weights.tolist() == [10.0]
    assert dataset.manifest.filters[0]["reasons"] == {"event type dropped": 3, "weight too low": 1}


def test_bad_rows_are_counted_by_reason_and_the_first_is_shown(prepare, tmp_path):
    log = csv(tmp_path, "user_id,item_id,timestamp", "1,5,9", "1,6,yesterday", "1,7,", "2,8,NaN", "2,,5", ",3,6")
    message = (
        r"row 2 of log\.csv: timestamp 'yesterday' \(unreadable time\); 5 such rows in all \(no user: 1, no item: 1,"
    )
    with pytest.raises(InputError, match=message):
        prepare(log)
    dataset = prepare(log, log_options={"bad_rows": "drop"}, split=NO_SPLIT)
    assert dataset.manifest.filters[0] == {
        "filter": "read",
        "events_in": 6,
        "events_out": 1,
        "reasons": {"no user": 1, "no item": 1, "no time": 2, "unreadable time": 1},
    }


def test_ids_of_mixed_types_are_refused_unless_text_is_asked_for(prepare, tmp_path):
    log = csv(tmp_path, "user_id,item_id,timestamp", "1,5,1", "1,abc,2", "1,7,3")
    with pytest.raises(InputError, match="1 item ids that are text, such as 'abc' beside integers such as 5"):
        prepare(log)
    assert prepare(log, log_options={"ids": "text"}, split=NO_SPLIT).items["item_id"].to_list() == ["5", "7", "abc"]


def test_integer_ids_can_be_demanded(prepare, tmp_path):
    log = csv(tmp_path, "user_id,item_id,timestamp", "1,a,1", "1,b,2")
    with pytest.raises(InputError, match="2 item ids that are text"):
        prepare(log, log_options={"ids": "integer"})


@pytest.mark.parametrize(("largest", "kind"), [(2**63 - 1, pl.Int64), (2**64 - 1, pl.String)])
def test_unsigned_ids_stay_what_they_are(prepare, tmp_path, largest, kind):
    users = pl.Series([1, 1, largest, largest], dtype=pl.UInt64)
    log = pl.DataFrame({"user_id": users, "item_id": [5, 6, 6, 5], "timestamp": [1, 2, 3, 4]})
    log.write_parquet(tmp_path / "log.parquet")
    dataset = prepare(tmp_path / "log.parquet", split=NO_SPLIT)
    assert dataset.user_ids.cast(pl.UInt64).to_list() == [1, largest]
    assert (dataset.user_ids.dtype, dataset.items["item_id"].dtype) == (kind, pl.Int64)
    assert dataset.user_rows(pl.Series([largest], dtype=pl.UInt64)).tolist() == [1]
    if kind == pl.String:
        with pytest.raises(InputError, match=rf"'user_id' holds {largest}; .* Pass --log\.ids text"):
            prepare(tmp_path / "log.parquet", log_options={"ids": "integer"})


def test_leading_zeros_stay(prepare, tmp_path):
    log = csv(tmp_path, "user_id,item_id,timestamp", "1,007,1", "1,008,2")
    assert prepare(log, split=NO_SPLIT).items["item_id"].to_list() == ["007", "008"]


def test_ids_that_are_fractions_are_refused(prepare):
    with pytest.raises(InputError, match="'user_id' of user ids is of type Float64"):
        prepare([(1.5, 2, 3)])


def test_nothing_left_after_reading(prepare, shop):
    with pytest.raises(InputError, match=r"none of the 5 rows of .* is left \(event type dropped: 5\)"):
        prepare(shop, log_options={"event": "kind", "events": {"like": 1.0}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": {"view": 1.0}}, "log.event does not name the column"),
        ({"min_weight": 3.0}, "log.weight names no column"),
        ({"event": "kind", "events": {"view": -1.0}}, "below 0"),
    ],
)
def test_settings_that_contradict_each_other(options, message):
    with pytest.raises(InputError, match=message):
        LogConfig(**options)
