"""Other programs under the clock: each in a process of its own, with its largest resident set.

Only the standard library is imported here and in what starts processes by it: a process' peak counts from that of the
one that started it, so that one has to stay small.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys_bert.errors import InputError


@dataclass(frozen=True)
class Ended:
    """What a program printed and took."""

    printed: str
    """Its standard output."""

    said: str
    """The end of what it wrote on its standard error."""

    seconds: float
    """From start to end."""

    peak_bytes: int
    """Largest resident set of its processes, each taken alone."""


def run_alone(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end.

    Args:
        command: Its name and arguments.
        environment: Variables beside this process' own.

    Raises:
        InputError: It cannot be started or fails.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                env=os.environ | dict(environment or {}),
            )
        except OSError as error:
            raise InputError(f"cannot start {shlex.join(command)}: {error.strerror}.") from error
        with process:
            assert process.stdout is not None
            printed = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        complaints.seek(0)
        said = complaints.read()[-2000:].strip()
    if process.returncode:
        raise InputError(f"{shlex.join(command)} ended with status {process.returncode}:\n{said}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # Linux counts KiB
    return Ended(printed, said, seconds, peak)
