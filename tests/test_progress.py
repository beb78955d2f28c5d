import io
import sys

import pytest

from recsys_bert import progress
from recsys_bert.progress import Progress, step


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: ``clock[0]`` is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_short_work_shows_nothing(clock, capsys):
    with Progress("train", 10) as bar, step("save"):
        clock[0] += 1.9
        bar.advance(10)
    assert capsys.readouterr() == ("", "")


def test_plain_lines_show_rate_time_left_and_figures(clock, capsys):
    with Progress("train", 1000, "sequences", every_s=10) as bar:
        for _ in range(4):
            clock[0] += 5
            bar.advance(200, loss=2.3149, phase="warm-up")
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "train: 200 of 1,000 sequences (20 %), 40 sequences/s, 0:20 left, loss 2.315, phase warm-up"
    assert second.startswith("train: 600 of 1,000 sequences (60 %), 40 sequences/s, 0:10 left")
    assert last == "train: 800 sequences in 0:20"


def test_a_resumed_run_counts_only_its_own_work_in_the_rate(clock, capsys):
    with Progress("train", 1000, done=900) as bar:
        clock[0] += 10
        bar.advance(50)
    assert "950 of 1,000 rows (95 %), 5 rows/s, 0:10 left" in capsys.readouterr().err


def test_an_unknown_total_shows_no_time_left(clock, capsys):
    with Progress("read", None) as bar:
        clock[0] += 4000
        bar.advance(8000)
    assert capsys.readouterr().err == "read: 8,000 rows, 2 rows/s\nread: 8,000 rows in 1:06:40\n"


def test_failed_work_is_not_called_done(clock, capsys):
    with pytest.raises(RuntimeError), Progress("train", 10):
        clock[0] += 5
        raise RuntimeError
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_and_stdout_stays_clean(clock, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress._console.cache_clear()
    with Progress("epochs", 2) as outer, Progress("train", 100, "sequences") as bar:
        clock[0] += 5
        bar.advance(50, loss=1.5)
        outer.advance()
        print("result")
    progress._console.cache_clear()
    assert capsys.readouterr().out == "result\n"
    assert "50 of 100 sequences (50 %), 10 sequences/s, 0:05 left, loss 1.5" in terminal.getvalue().replace("\n", " ")
    assert "train: 50 sequences in 0:05" in terminal.getvalue()


def test_a_long_step_says_how_long_it_took(clock, capsys):
    with step("build the index"):
        clock[0] += 2.5
    assert capsys.readouterr().err == "build the index: 2.5 s\n"
