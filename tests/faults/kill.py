"""Run commands that die at their n-th file event, each in a fork of this process, which has imported the libraries.

Reads one JSON object a line, with ``command``, ``folder``, ``stop`` and ``user``; answers with ``status``, ``events``
and ``stderr``.
"""

import contextlib
import importlib
import io
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nlp_tasks
import pipelines
import recsys_bert

EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Counter:
    """Audit hook that counts file events below a folder, and ends the process before one of them.

    Args:
        folder: Only events with paths in it count.
        stop: Number of the event, from 1; 0 lets the process live.
    """

    def __init__(self, folder: Path, stop: int) -> None:
        self.folder, self.stop, self.count, self.on = str(folder), stop, 0, True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count one event."""
        if not self.on or not (event in EVENTS or (event == "open" and self._writes(arguments))):
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if os.path.abspath(path).startswith(self.folder):
            self.count += 1
            if self.count == self.stop:
                os._exit(137)

    def _writes(self, arguments: tuple[Any, ...]) -> bool:
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & _WRITES)


def run(command: list[str], folder: Path, stop: int, user: int) -> dict[str, Any]:
    """Run a command in a fork, in a folder, as a user."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(command, folder, stop, user, write)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"status": status, **(json.loads(text) if text else {"events": 0, "stderr": ""})}


def _child(command: list[str], folder: Path, stop: int, user: int, write: int) -> None:
    from pipelines.cli import main

    status, printed = 70, io.StringIO()
    try:
        os.chdir(folder)
        os.seteuid(user)
        counter = Counter(folder, stop)
        sys.addaudithook(counter)
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            try:
                status = main(command)
            except BaseException:
                import traceback

                traceback.print_exc()
        counter.on = False
        os.write(write, json.dumps({"events": counter.count, "stderr": printed.getvalue()}).encode())
    finally:
        os._exit(status)


def walk(package: Any) -> Iterator[pkgutil.ModuleInfo]:
    """Modules of a package, without programs that measure or show."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.startswith(("pipelines.benchmarks", "pipelines.examples")):
            yield module


def serve() -> None:
    """Answer requests until the input ends."""
    libraries = ("accelerate", "bm25s", "faiss", "jieba", "matplotlib.figure", "polars", "pydantic", "sklearn", "tyro")
    ours = [module.name for package in (nlp_tasks, pipelines, recsys_bert) for module in walk(package)]
    for name in (*libraries, *ours):
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(
            json.dumps(run(request["command"], Path(request["folder"]), request["stop"], request["user"])), flush=True
        )


if __name__ == "__main__":
    serve()
