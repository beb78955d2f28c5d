"""Random input files: tables of odd cells, ragged rows, and bytes that were changed."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
"""Random inputs a test; ``FUZZ_EXAMPLES=10000`` runs the large budget, with seeds of its own."""

BUDGET = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES <= 25,  # the same inputs every time in the suite
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

PLAIN = st.sampled_from(("1", "2", "3", "7", "12"))
WORDS = st.sampled_from(("a", "b", "red", "blue"))
TIMES = st.integers(1_500_000_000, 1_600_000_000).map(str)
ODD_CELLS = (
    *("", " ", "NULL", "nan", "None", "NA", "-", "?", "0", "-1", "1.0", "1e3", "1e400", "inf", "9" * 19, "9" * 25),
    *("2020-01-01", "2020-13-45T99:00", "31/12/2020", "1600000000", "1600000000000", "-62135596800", "true"),
    *("é", "e\u0301", "ａ", "\u200b", "\ufeff", "\x00", "\x1b[31m", "\u202e", "😀", "\ud7ff", "a" * 300),
    *("a,b", '"', '""', '"a', "'", "a\tb", "a|b", "['x', 'y']", '["x"]', "{}", "[", "=1+1", "../x", "$x$", "--k", "%s"),
)
CELLS = WORDS | st.sampled_from(ODD_CELLS) | st.text(max_size=6)


@st.composite
def tables(draw: st.DrawFn, columns: dict[str, st.SearchStrategy[str]]) -> list[list[str]]:
    """Rows of cells under a header: none is odd, or few are, or many; some rows are ragged."""
    odd, ragged = draw(st.sampled_from(((0, 0), (1, 1), (1, 0), (20, 3))))  # of a hundred
    rows = [list(columns)]
    for _ in range(draw(st.integers(0, 40))):
        row = [draw(CELLS if draw(st.integers(1, 100)) <= odd else plain) for plain in columns.values()]
        more = draw(st.integers(1, 100)) <= ragged
        rows.append(draw(st.sampled_from((row[:-1], [*row, "more"]))) if more else row)
    return rows


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with pieces cut out, changed or doubled; most often as they are."""
    for _ in range(draw(st.sampled_from((0,) * 8 + (1, 3)))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        stop = start + draw(st.integers(1, 40))
        inserted = draw(st.sampled_from((b"", content[start:stop] * 2)) | st.binary(max_size=4))
        content = content[:start] + inserted + content[stop:]
    return content


def as_csv(rows: list[list[str]], separator: str = ",") -> bytes:
    """Rows as a table with quotes where they are needed."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def as_json_lines(rows: list[list[str]]) -> bytes:
    """Rows as JSON objects, a line each; a ragged row lacks a key."""
    header, *others = rows
    lines = [json.dumps(dict(zip(header, row, strict=False))) for row in others]
    return "".join(f"{line}\n" for line in lines).encode()


@st.composite
def table_files(draw: st.DrawFn, columns: dict[str, st.SearchStrategy[str]]) -> tuple[str, bytes]:
    """Name and content of a file with a table, in any of the formats that commands read."""
    rows = draw(tables(columns))
    ending = draw(st.sampled_from((".csv", ".csv", ".tsv", ".jsonl", ".parquet", ".txt", ".inter")))
    if ending == ".jsonl":
        content = as_json_lines(rows)
    elif ending == ".parquet":
        content = _as_parquet(rows)
    else:
        content = as_csv(rows, "," if ending == ".csv" else "\t")
    encoding = draw(st.sampled_from(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "latin-1")))
    if encoding != "utf-8" and ending != ".parquet":
        content = content.decode("utf-8", "replace").encode(encoding, "replace")
    return f"file{ending}", draw(damage(content))


def _as_parquet(rows: list[list[str]]) -> bytes:
    import polars as pl

    header, *others = rows
    whole = [row for row in others if len(row) == len(header)]
    columns: dict[str, Any] = {name: [row[at] for row in whole] for at, name in enumerate(header)}
    buffer = io.BytesIO()
    pl.DataFrame(columns, schema=dict.fromkeys(header, pl.String)).write_parquet(buffer)
    return buffer.getvalue()


def write(folder: Path, file: tuple[str, bytes]) -> Path:
    """Write a random file."""
    path = folder / file[0]
    path.write_bytes(file[1])
    return path
