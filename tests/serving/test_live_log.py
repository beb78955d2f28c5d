"""Events and items on the disk: what was acknowledged is there after a kill, an exchange, a new start."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from recsys_bert.errors import InputError
from recsys_bert.serving.live_log import LiveEvent, LiveItem, LiveLog, StateUnavailable

EVENTS = [LiveEvent("7", "a", 20), LiveEvent("7", "b", 10, "buy"), LiveEvent("8", "c", 5), LiveEvent("7", "d", 20)]


def test_events_come_back_in_the_order_of_time_after_a_new_start(tmp_path):
    log = LiveLog(tmp_path / "state.db")
    log.add(EVENTS)
    log.put([LiveItem("x", "a text", {"price": 2.5}), LiveItem("y", None, {}), LiveItem("x", "another", {}, True)])
    log.close()
    log = LiveLog(tmp_path / "state.db")
    assert [event.item_id for event in log.events_of("7")] == ["b", "a", "d"]
    assert [event.item_id for event in log.events_of("7", last=2)] == ["a", "d"]
    assert log.events_of("9") == []
    assert log.items() == [LiveItem("y", None, {}), LiveItem("x", "another", {}, True)]
    assert log.counts() == {"events": 4, "items": 2}
    log.close()


def test_memory_keeps_events_while_it_lives():
    log = LiveLog(None)
    log.add(EVENTS)
    assert (len(log.events_of("7")), log.is_durable) == (3, False)
    log.close()


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from recsys_bert.serving.live_log import LiveEvent, LiveLog\n"
        "log, n = LiveLog(Path(sys.argv[1])), 0\n"
        "while True:\n"
        "    log.add([LiveEvent('u', str(n), n), LiveEvent('u', str(n + 1), n + 1)]); n += 2\n"
        "    print(n, flush=True)\n"
    )
    path = tmp_path / "state.db"
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= 40:
            break
    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate()
    acknowledged = int((rest.split() or [line])[-1])
    log = LiveLog(path)
    items = [int(event.item_id) for event in log.events_of("u", last=10**6)]
    log.close()
    assert items[:acknowledged] == list(range(acknowledged))
    assert len(items) % 2 == 0  # the last call is there as a whole, or not at all


def test_a_database_that_goes_away_and_comes_back(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    log = LiveLog(folder / "state.db")
    log.add(EVENTS)
    folder.rename(tmp_path / "gone")
    with pytest.raises(StateUnavailable):
        log.add(EVENTS)
    with pytest.raises(StateUnavailable):
        log.events_of("7")
    (tmp_path / "gone").rename(folder)
    assert len(log.events_of("7")) == 3
    log.add(EVENTS[:1])
    assert len(log.events_of("7")) == 4
    log.close()


def test_a_file_that_is_exchanged_is_not_written_into_the_void(tmp_path):
    path = tmp_path / "state.db"
    log = LiveLog(path)
    log.add(EVENTS)
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    log.add(EVENTS[:1])
    log.close()
    again = LiveLog(path)
    assert again.counts()["events"] == 1
    again.close()


@pytest.mark.parametrize("contents", [b"no database" * 100, None])
def test_other_files_are_refused(tmp_path, contents):
    path = tmp_path / "state.db"
    if contents is None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 9")
        connection.close()
    else:
        path.write_bytes(contents)
    with pytest.raises(InputError, match="--state"):
        LiveLog(path)
    with pytest.raises(InputError, match="--state"):
        LiveLog(tmp_path / "no folder" / "state.db")
