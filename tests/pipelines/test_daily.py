"""The benchmark of days, on a log of a moment."""

import pytest

from pipelines.benchmarks.daily import MODELS, Config, daily_log, run
from recsys_bert.errors import InputError


@pytest.mark.parametrize("model", ["encoder", "towers"])
def test_days_are_followed_by_all_three_models(tmp_path, capsys, model):
    config = Config(
        out=tmp_path / "daily", model=model, users=120, items=160, days=3, new_items=20, epochs=1, epochs_a_day=1
    )
    rows = run(config)
    assert [row["day"] for row in rows] == [1, 2, 3]
    first = rows[0]
    assert len({first[f"{name}: recall"] for name in MODELS}) == 1  # the same model
    assert first["new_share"] == 0
    assert all(row["new_share"] > 0 and row["targets"] > 10 for row in rows[1:])
    if model == "encoder":
        assert all(row["as it is: recall_new"] == 0 for row in rows[1:])  # which it does not know
    assert all(row["as it is: seconds"] == 0 < row["goes on: seconds"] for row in rows[1:])
    assert "mean from day 2" in capsys.readouterr().out


def test_new_items_come_on_their_day(tmp_path):
    config = Config(out=tmp_path, users=150, items=160, days=4, new_items=10)
    log = daily_log(config)
    first, days, released = log.first, log.days, log.released
    assert log.items_of(1).height == 160 - 30
    assert log.items_of(3).height == 160 - 10
    for item, day in released.iter_rows():
        assert item not in first["item_id"]
        assert all(item not in part["item_id"] for _, part in days[: day - 1])
    assert released.height == 30
    seen = set().union(*(part["item_id"] for _, part in days))
    assert len(seen & set(released["item_id"])) > 20
    assert all(part["timestamp"].is_between(start, start + 86_399).all() for start, part in days)


def test_more_new_items_than_items_are_refused(tmp_path):
    with pytest.raises(InputError, match="are as many as all 160"):
        Config(out=tmp_path, items=160, days=5, new_items=40)
