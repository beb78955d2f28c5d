"""Timing of other programs: each in its own process, with its peak memory.

Only the standard library is imported here and by its callers: a process' peak counts from that of its parent, which
therefore has to stay small.
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
class ProcessResult:
    """Output, time and memory of a program."""

    stdout: str
    """Standard output."""

    stderr: str
    """End of standard error."""

    seconds: float
    """Wall time."""

    peak_bytes: int
    """Largest resident set of any of its processes."""


def run_alone(command: Sequence[str], environment: Mapping[str, str] | None = None) -> ProcessResult:
    """Run a program to its end.

    Args:
        command: Program and arguments.
        environment: Variables added to those of this process.

    Raises:
        InputError: It cannot be started or fails.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | dict(environment or {}),
            )
        except OSError as error:
            raise InputError(f"cannot start {shlex.join(command)}: {error.strerror}.") from error
        with process:
            assert process.stdout is not None
            stdout = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        errors.seek(0)
        stderr = errors.read()[-2000:].strip()
    if process.returncode:
        raise InputError(f"{shlex.join(command)} ended with status {process.returncode}:\n{stderr}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # Linux counts KiB
    return ProcessResult(stdout, stderr, seconds, peak)
