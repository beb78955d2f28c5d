"""Two writers of one output: the second is refused, and told who is at work."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.commands import COMMANDS

from pipelines.cli import main
from recsys_bert.errors import InputError
from recsys_bert.locks import only_writer

HOLD = (
    "import sys, time; from pathlib import Path; from recsys_bert.locks import only_writer\n"
    "with only_writer(Path(sys.argv[1])):\n"
    "    print('locked', flush=True); time.sleep(100)"
)


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that writes ``out``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_the_holder_is_named_and_its_death_frees_the_lock(tmp_path, holder):
    out = tmp_path / "out"
    message = rf"out is being written by process {holder.pid} on {socket.gethostname()}, since \d{{4}}-.* Wait until"
    with pytest.raises(InputError, match=message), only_writer(out):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with only_writer(out), only_writer(out):  # what it left is taken over; and within, it may be taken again
        assert str(os.getpid()) in (tmp_path / ".out.lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_threads_of_one_process_exclude_each_other(tmp_path):
    refused = []

    def write():
        try:
            with only_writer(tmp_path / "out"):
                pass
        except InputError as error:
            refused.append(str(error))

    with only_writer(tmp_path / "out"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_name_of_many_ways_is_one_output(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "out").mkdir()
    refused = threading.Event()

    def write():
        try:
            with only_writer(tmp_path / "link"):
                pass
        except InputError:
            refused.set()

    with only_writer(tmp_path / "out"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert refused.is_set()


@pytest.mark.parametrize("artefact", COMMANDS)
def test_every_command_that_writes_waits_for_its_turn(
    workplace: Callable[..., Path], capsys: pytest.CaptureFixture[str], artefact: str, tmp_path: Path
) -> None:
    workplace(artefact)
    command = [word if word != artefact or before != "--out" else "out" for before, word in pairs(COMMANDS[artefact])]
    started, done = threading.Event(), threading.Event()

    def hold() -> None:
        with only_writer(tmp_path / "out"):
            started.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert started.wait(60)
        assert main(command) == 2
    finally:
        done.set()
        thread.join()
    error = capsys.readouterr().err
    assert f"out is being written by process {os.getpid()} on" in error
    assert not (tmp_path / "out").exists()


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """Each word with the one before it."""
    return list(zip(["", *words], words, strict=False))
