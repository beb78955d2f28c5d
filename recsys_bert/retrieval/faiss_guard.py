"""Guards around FAISS: factory strings that crash it are refused, and its warnings are said once."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from recsys_bert.errors import InputError

_CRASHES = {
    r"(?<![\d.])0(?![\d.])": "a number in it is 0",
    r"(HNSW|NSG)1(?!\d)": "a graph needs 2 links per item at least, as in HNSW32",
    r"(?<![A-Z])PQ\d+x[12](?!\d)": "a product quantizer needs 3 bits at least, as in PQ8x4",
}  # FAISS 1.15.1 ends the process, never returns, or fails at the first search


def check_factory(factory: str) -> None:
    """Refuse factory strings that FAISS takes and then crashes on.

    Raises:
        InputError: It is one of them.
    """
    for pattern, reason in _CRASHES.items():
        if re.search(pattern, factory):
            raise InputError(f"factory {factory!r} cannot be built: {reason}.")


@contextlib.contextmanager
def one_warning(factory: str, n: int) -> Iterator[None]:
    """Catch what FAISS prints while it trains on ``n`` items; say once that they are few, pass on everything else."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        terminal = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            _say(caught.read().decode(errors="replace"), factory, n)


def _say(text: str, factory: str, n: int) -> None:
    advised = [int(least) for least in re.findall(r"provide at least (\d+) training points", text)]
    others = [line for line in text.splitlines() if line.strip() and "training points" not in line]
    if others:
        print("\n".join(others), file=sys.stderr)
    if advised:
        print(f"index {factory!r} learns from {n:,} items; FAISS advises {max(advised):,} or more.", file=sys.stderr)
