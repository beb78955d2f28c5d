"""Texts to answer for, and answers printed or written: what every ``predict`` and ``evaluate`` shares."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlp_tasks.config import FilesConfig
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.data import Table

Format = Literal["auto", "tsv", "csv", "jsonl", "label_text"]


@dataclass(frozen=True, kw_only=True)
class NewFileConfig:
    """How a file is read that the model was not trained on."""

    format: Format | None = None
    """As in `train`; None: as its training files were read."""

    columns: tuple[str, ...] | None = None
    """Names of the columns of a file without a header line, in order; None: as its training files had them."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a line that cannot be used does: stop with its number, or drop out and be counted."""

    def like(self, trained: FilesConfig) -> FilesConfig:
        """Settings for reading the file, where those of the training files are known."""
        return replace(
            trained,
            format=trained.format if self.format is None else self.format,
            columns=trained.columns if self.columns is None else self.columns,
            bad_rows=self.bad_rows,
        )


def check_one_source(file: Path | None, texts: Sequence[Any]) -> None:
    """Refuse neither or both of a file and texts from the command line.

    Raises:
        InputError: Not exactly one is given.
    """
    if (file is None) == (not texts):
        raise InputError("give either texts on the command line or a file with --file.")


def check_threshold(threshold: float | None) -> None:
    """Refuse what no score can reach or miss.

    Raises:
        InputError: It is outside [-1, 1], or no number.
    """
    if threshold is not None and not -1 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; scores of pairs lie in [0, 1], those of a bi-encoder in [-1, 1].")


def typed_in(**texts: Sequence[str]) -> "Table":
    """Texts from the command line, as if they were the lines of a file.

    Raises:
        InputError: One is empty.
    """
    from nlp_tasks.data import Table

    for name, column in texts.items():
        if any(not text.strip() for text in column):
            raise InputError(f"{name} is empty; write something between the quotes.")
    count = len(next(iter(texts.values())))
    columns = {name: [text.strip() for text in column] for name, column in texts.items()}
    return Table(Path("command line"), list(range(1, count + 1)), columns)


def show(rows: Sequence[dict[str, Any]], told: dict[str, Any], out: Path | None, as_json: bool) -> dict[str, Any]:
    """Write answers, or print them as aligned lines or as one JSON object.

    Args:
        rows: Answers with the same keys.
        told: Counts that belong to them.
        out: Where to write instead of printing; lists are joined by commas in .csv.
        as_json: Print one JSON object; with ``out`` it holds the counts only.

    Returns:
        ``told``.
    """
    if out is not None:
        _write(rows, out)
        print(f"{len(rows):,} answers in {out}", file=sys.stderr)
    if as_json:
        print(json.dumps(told | ({} if out is not None else {"answers": list(rows)}), ensure_ascii=False))
    elif out is None and rows:
        cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    return told


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return ",".join(map(_cell, value)) or "-"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _write(rows: Sequence[dict[str, Any]], out: Path) -> None:
    import polars as pl

    from pipelines.support.outputs import write_frame

    if out.suffix == ".csv":  # which has no lists
        rows = [
            {name: value if not isinstance(value, list) else _cell(value) for name, value in row.items()}
            for row in rows
        ]
    write_frame(pl.DataFrame(list(rows), infer_schema_length=None), out)
