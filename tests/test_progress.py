import io
import sys

import pytest

from recsys_bert import progress
from recsys_bert.progress import Progress, quietly, step


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


def test_a_service_shows_nothing(clock, capsys):
    with quietly(), Progress("reading texts", 10) as bar:
        clock[0] += 30
        bar.advance(5)
    assert capsys.readouterr() == ("", "")
    with Progress("reading texts", 10) as bar:
        clock[0] += 30
        bar.advance(5)
    assert capsys.readouterr().err


def test_plain_lines_show_rate_time_left_and_metrics(clock, capsys):
    with Progress("train", 1000, "sequences", every_s=10) as bar:
        for _ in range(4):
            clock[0] += 5
            bar.advance(200, loss=2.3149, phase="warm-up")
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "train: 20 % of 1,000 sequences, 40/s, 0:20 left, loss 2.315, phase warm-up"
    assert second.startswith("train: 60 % of 1,000 sequences, 40/s, 0:10 left")
    assert last == "train: 800 sequences in 0:20"


def test_a_resumed_run_counts_only_its_own_work_in_the_rate(clock, capsys):
    with Progress("train", 1000, done=900) as bar:
        clock[0] += 10
        bar.advance(50)
    assert "95 % of 1,000 rows, 5/s, 0:10 left" in capsys.readouterr().err


def test_an_unknown_total_shows_no_time_left(clock, capsys):
    with Progress("read", None) as bar:
        clock[0] += 4000
        bar.advance(8000)
    assert capsys.readouterr().err == "read: 8,000 rows, 2/s\nread: 8,000 rows in 1:06:40\n"


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
    assert "50 % of 100 sequences, 10/s, 0:05 left, loss 1.5" in terminal.getvalue().replace("\n", " ")
    assert "train: 50 sequences in 0:05" in terminal.getvalue()


@pytest.mark.parametrize("total", [1_000, 100_000_000])
def test_80_columns_hold_the_loss(clock, capsys, total):
    with Progress("distilling and training", total, "sequences") as bar:
        clock[0] += 3
        bar.advance(1, epoch="120", loss=12.3456)
    first, _ = capsys.readouterr().err.splitlines()
    assert len(first) <= 80
    assert first.endswith("epoch 120, loss 12.35")


@pytest.mark.parametrize("started", [False, True])
def test_a_note_is_a_line_of_its_own_on_a_terminal(clock, monkeypatch, started):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress._console.cache_clear()
    with Progress("train", 100) as bar:
        clock[0] += 5 * started
        bar.advance(50)
        bar.note("epoch 1: loss [4.2]")
    progress._console.cache_clear()
    assert "epoch 1: loss [4.2]\n" in terminal.getvalue().replace("\r", "")


def test_a_long_step_says_how_long_it_took(clock, capsys):
    with step("build the index"):
        clock[0] += 2.5
    assert capsys.readouterr().err == "build the index: 2.5 s\n"
