from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.times import parse_timestamp
from recsys_bert.errors import InputError

MOMENT = datetime(2024, 2, 29, 13, 5, 7, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


def seconds_of(prepare, tmp_path, values, **options):
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": [1] * len(values), "item_id": range(len(values)), "timestamp": values}).write_parquet(path)
    return prepare(path, log_options=options, split=SplitConfig(kind="none")).histories.times.tolist()


@pytest.mark.parametrize(
    "value",
    [
        SECONDS,
        SECONDS * 1000 + 250,
        SECONDS * 1_000_000,
        SECONDS * 1_000_000_000,
        float(SECONDS),
        str(SECONDS),
        f"{SECONDS}.75",
        f"{SECONDS}000",
        "2024-02-29T13:05:07",
        "2024-02-29 13:05:07.125",
        "2024-02-29T13:05:07Z",
        "2024-02-29T13:05:07.5+00:00",
        "2024-02-29T15:05:07+02:00",
        "2024-02-29 08:05:07-0500",
        "2024-02-29 13:05:07 UTC",
        "2024/02/29 13:05:07",
        "2024-02-29T15:05:07+02",
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(timezone(timedelta(hours=9))),
    ],
    ids=str,
)
def test_moments_are_read_as_utc_seconds(prepare, tmp_path, value):
    assert seconds_of(prepare, tmp_path, [value]) == [SECONDS]


@pytest.mark.parametrize("value", ["2024-02-29T13:05", "2024-02-29T15:05+02:00", "2024/02/29 13:05"])
def test_moments_may_be_told_to_the_minute(prepare, tmp_path, value):
    assert seconds_of(prepare, tmp_path, [value]) == [SECONDS - 7]


@pytest.mark.parametrize("value", ["2024-02-29", "2024/02/29", date(2024, 2, 29)])
def test_dates_are_midnight(prepare, tmp_path, value):
    assert seconds_of(prepare, tmp_path, [value]) == [SECONDS // 86_400 * 86_400]


def test_a_named_unit_beats_the_guess(prepare, tmp_path):
    assert seconds_of(prepare, tmp_path, [5_000, 7_000], time_unit="ms") == [5, 7]


def test_a_style_that_comes_late_is_read_all_the_same(prepare, tmp_path):
    values = ["2024-02-29T13:05:07"] * 10_001 + ["2024-03-01"]
    assert seconds_of(prepare, tmp_path, values)[-1] == (SECONDS // 86_400 + 1) * 86_400


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, float("nan"), float("inf")], r"row 2 of log\.parquet: timestamp nan \(unreadable time\); 2 such rows"),
        ([SECONDS, 2**62, SECONDS], r"row 2 of .*unreadable time"),
        (["2024-02-30", "2024-02-29"], r"row 1 of .*'2024-02-30'"),
        (["2024-02-29", "17"], r"row 2 of .*'17'"),
        ([None, 5], r"row 1 of .*no time"),
        ([[1], [2]], r"of type List\(Int64\); it should hold numbers"),
    ],
)
def test_values_that_are_no_timestamps_are_refused(prepare, tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        seconds_of(prepare, tmp_path, values)


def test_parse_timestamp():
    assert parse_timestamp("2024-02-29T13:05:07") == SECONDS * 1_000_000
    with pytest.raises(InputError, match=r"'29\.2\.2024' is not a date"):
        parse_timestamp("29.2.2024")
