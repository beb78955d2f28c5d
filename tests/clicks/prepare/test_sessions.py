"""Sessions by time gap against a plain loop."""

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.prepare import events as module
from recsys_bert.errors import InputError
from recsys_bert.stages.prepare import prepare

COLUMNS = ["user_id", "item_id", "timestamp"]


@pytest.mark.parametrize("text", [False, True])
def test_sessions_match_a_plain_loop(monkeypatch, text):
    monkeypatch.setattr(module, "CHUNK", 20)
    random, rows, sessions = np.random.default_rng(0), [], {}
    for user in range(25):
        time, name, own = 1_704_067_200, None, f"u{user}" if text else user
        for n in range(int(random.integers(1, 20))):
            gap = int(random.choice([60, 1800, 1801, 7200]))
            time += gap
            if n == 0 or gap > 1800:
                stamp = np.datetime_as_string(np.datetime64(time, "s"))
                name = f"{own}@{stamp}"
            item = int(random.integers(0, 9))
            rows.append((own, item, time))
            sessions.setdefault(name, []).append(item)
    order = random.permutation(len(rows))
    frame = pl.DataFrame([rows[at] for at in order], schema=COLUMNS, orient="row")
    log = prepare(frame, log={"session_minutes": 30}, split={"kind": "none"})
    assert {user: log.history(user) for user in log.user_ids} == sessions
    assert log.user_ids.to_list() == sorted(sessions)
    owners = log.users.select("user_id", "log_user_id").rows()
    assert all(user.rsplit("@", 1)[0] == str(owner) for user, owner in owners)


def test_sessions_have_the_features_of_their_user():
    rows = [(user, n, 86_400 * n) for user in range(6) for n in range(4)]
    users = pl.DataFrame({"user_id": range(6), "age": ["old", "young"] * 3})
    log = prepare(
        pl.DataFrame(rows, schema=COLUMNS, orient="row"),
        log={"session_minutes": 60},
        users=users,
        user_features={"categorical": ["age"]},
        split={"kind": "none"},
    )
    assert len(log.users) == 24
    ages = log.users["age"].to_list()
    assert ages == [["old", "young"][owner % 2] for owner in log.users["log_user_id"]]
    codes = log.user_features["age"][:, 0]
    assert len(set(codes)) == 2
    assert all((codes[at] == codes[0]) == (age == ages[0]) for at, age in enumerate(ages))


def test_sessions_need_times_and_a_gap():
    frame = pl.DataFrame([(1, 2, 3), (1, 3, 4)], schema=COLUMNS, orient="row")
    for log, message in (
        ({"time": None, "session_minutes": 30}, "names no column"),
        ({"session_minutes": 0}, "above 0"),
    ):
        with pytest.raises(InputError, match=message):
            prepare(frame, log=log)
