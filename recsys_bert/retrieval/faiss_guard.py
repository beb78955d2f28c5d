"""Guards around FAISS: factory strings that it cannot build, or takes and crashes on, are refused before it is called.

FAISS 1.15 ends the process for some strings (HNSW1), never returns for others (NSG2), and for some builds an index that
fails at the first search. So a string is read here: parts that are known to work, each number in its range.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from recsys_bert.errors import InputError

_CODES = r"(?:Flat|SQ(?:4|6|8|fp16|bf16)|PQ(?P<{0}m>\d+)(?:x(?P<{0}bits>\d+))?)"
_TRANSFORM = r"(?:(?:PCA(?:W|R|WR)?|RR)(?P<dim>\d+),|OPQ(?P<opq>\d+)(?:_(?P<opq_dim>\d+))?,)?"
_CORES = (
    _CODES.format("flat_"),
    r"PQ\d+x4fsr?",
    r"RaBitQ",
    r"LSH(?P<lsh>\d*)r?t?",
    r"HNSW(?P<hnsw>\d*)(?:[_,]" + _CODES.format("hnsw_") + ")?",
    r"NSG(?P<nsg>\d*)(?:[_,]" + _CODES.format("nsg_") + ")?",
    r"IVF(?P<ivf>\d+)(?:_HNSW(?P<coarse>\d*))?,(?:" + _CODES.format("ivf_") + r"(?:np)?|PQ\d+x4fsr?|RaBitQ)",
)
_REFINE = r"(?:,RFlat|,Refine\((?:Flat|SQ8|SQfp16)\))?"
_FORM = re.compile(_TRANSFORM + "(?:" + "|".join(_CORES) + ")" + _REFINE)
_FORMS = (
    "Flat, HNSW32, HNSW32_SQ8, NSG32, IVF256,Flat, IVF256,PQ16, IVF256_HNSW32,SQ8, PQ16, SQ8, LSH256r, RaBitQ; before "
    "it PCA32, RR32 or OPQ16, and after it RFlat"
)
_MOST = 2**31 - 1
_RANGES = {
    "hnsw": (2, 512, "a graph needs 2 links per item at least and 512 at most, as in HNSW32"),
    "coarse": (2, 512, "a graph needs 2 links per item at least and 512 at most, as in HNSW32"),
    "nsg": (16, 512, "this graph needs 16 links per item at least and 512 at most, as in NSG32"),
    "bits": (3, 16, "a product quantizer needs 3 bits at least and 16 at most, as in PQ8x4"),
    "ivf": (1, 2**24, "the lists are 1 at least and 16,777,216 at most"),
}


def check_factory(factory: str) -> None:
    """Refuse factory strings that FAISS cannot build, or takes and then crashes on.

    Raises:
        InputError: It is one of them.
    """
    if "IDMap" in factory:
        raise InputError(f"factory {factory!r}: leave IDMap out; the index keeps item rows by itself.")
    form = _FORM.fullmatch(factory)
    if form is None:
        raise InputError(f"FAISS cannot build {factory!r}, as far as is known here. Known forms: {_FORMS}.")
    for name, digits in form.groupdict().items():
        if not digits:
            continue
        low, high, reason = _RANGES.get(name.rpartition("_")[2], (1, _MOST, ""))
        if not low <= int(digits) <= high:
            reason = reason if int(digits) else f"a number in it is 0; {reason}".removesuffix("; ")
            raise InputError(f"factory {factory!r} cannot be built: {reason or f'{digits} is too large'}.")


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
