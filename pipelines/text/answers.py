"""Input texts and printed or written answers: shared by every ``predict`` and ``evaluate``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from nlp_tasks.config import FilesConfig
from nlp_tasks.encodings import check_encoding
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config
from recsys_bert.terminal import printable

if TYPE_CHECKING:
    from nlp_tasks.examples import Table

T = TypeVar("T")

Format = Literal["auto", "tsv", "csv", "jsonl", "json", "parquet", "lines", "label_text", "folders"]


@dataclass(frozen=True, kw_only=True)
class NewFileConfig:
    """Format of a file that the model was not trained on."""

    format: Format | None = None
    """As in `train`; None: as its training files were read."""

    columns: tuple[str, ...] | None = None
    """Names of the columns of a file without a header line, in order; None: as its training files had them."""

    encoding: str | None = None
    """Encoding of a text file, such as gb18030 or latin-1; None: as its training files had it."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable lines: stop with the number of the first, or drop and count them."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            check_encoding(self.encoding, "read.encoding")

    def like(self, trained: FilesConfig) -> FilesConfig:
        """Settings for reading the file, with those of the training files for what is None."""
        return replace(
            trained,
            format=trained.format if self.format is None else self.format,
            columns=trained.columns if self.columns is None else self.columns,
            encoding=trained.encoding if self.encoding is None else self.encoding,
            bad_rows=self.bad_rows,
        )


def trained_settings(kind: type[T], run: Path) -> T:
    """Settings of a run: of its command, or, where it was trained from Python or elsewhere, the defaults for its files.

    Args:
        kind: ``Config`` of the training command.
        run: The run folder.

    Raises:
        InputError: There is no ``config.toml``, or that of another task.
    """
    if (run / "modules.json").is_file() and not (run / "config.toml").exists():  # of sentence-transformers
        return kind(out=run)  # type: ignore[call-arg]
    return read_config(kind, run / "config.toml", {"out": str(run)}, resolved=True)


def check_one_source(file: Path | None, texts: Sequence[Any]) -> None:
    """Refuse neither or both of a file and texts from the command line.

    Raises:
        InputError: Not exactly one is given.
    """
    if (file is None) == (not texts):
        raise InputError("give either texts on the command line or a file with --file.")


def check_threshold(threshold: float | None) -> None:
    """Refuse a threshold that no similarity can reach or miss.

    Raises:
        InputError: It is outside [-1, 1], or no number.
    """
    if threshold is not None and not -1 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; similarities lie in [0, 1], those of a bi-encoder in [-1, 1].")


def typed_in(**texts: Sequence[str]) -> "Table":
    """Table of texts from the command line.

    Raises:
        InputError: One is empty.
    """
    from nlp_tasks.examples import Table

    for name, column in texts.items():
        if any(not text.strip() for text in column):
            raise InputError(f"{name} is empty; write something between the quotes.")
    count = len(next(iter(texts.values())))
    columns = {name: [text.strip() for text in column] for name, column in texts.items()}
    return Table(Path("command line"), list(range(1, count + 1)), columns)


def show(rows: Sequence[dict[str, Any]], summary: dict[str, Any], out: Path | None, as_json: bool) -> dict[str, Any]:
    """Write answers, or print them as aligned lines or as one JSON object.

    Args:
        rows: Answers with the same keys.
        summary: Counts that belong to them.
        out: Where to write instead of printing; lists are joined by commas in .csv.
        as_json: Print one JSON object; with ``out`` it holds the counts only.

    Returns:
        ``summary``.
    """
    if out is not None:
        _write(rows, out)
        print(f"{len(rows):,} answers in {out}", file=sys.stderr)
    if as_json:
        print(json.dumps(summary | ({} if out is not None else {"answers": list(rows)}), ensure_ascii=False))
    elif out is None and rows:
        cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
        cells = [[printable(cell, one_line=True) for cell in line] for line in cells]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    return summary


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
