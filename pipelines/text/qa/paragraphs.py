"""Paragraphs to search in, with their source."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlp_tasks.config import FilesConfig
from nlp_tasks.encodings import check_encoding
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ParagraphsConfig:
    """Format of files of paragraphs."""

    format: Literal["auto", "lines", "tsv", "csv", "jsonl", "parquet", "squad"] = "auto"
    """lines: every line is a paragraph; squad: the passages of a SQuAD file; the rest as in training a task.
    ``auto`` goes by the ending, and takes .txt as lines, .json as squad."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    encoding: str = "utf-8"
    """Encoding of text files, such as gb18030 or latin-1."""

    text: str = "text"
    """Column with the paragraph; for tsv, csv and jsonl."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable rows: stop with the number of the first, or drop and count them."""

    def __post_init__(self) -> None:
        check_encoding(self.encoding, "read.encoding")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a file."""

    text: str
    """Unchanged; stripped where it comes from a cell."""

    file: str
    """The file."""

    source: str
    """Line, or paragraph and article, in the file."""


def read_paragraphs(files: tuple[Path, ...], config: ParagraphsConfig) -> tuple[list[Paragraph], dict[str, int]]:
    """Distinct paragraphs of all files in order, and counts of rows left out, by reason.

    Raises:
        InputError: A file cannot be read, is not UTF-8, holds no text, or has rows that cannot be used (see
            ``bad_rows``).
    """
    distinct: dict[str, Paragraph] = {}
    counts: dict[str, int] = {}
    for path in files:
        before, some = len(distinct), list(_of_file(path, config, counts))
        if not some:
            raise InputError(f"{path} holds no text.")
        for paragraph in some:
            distinct.setdefault(paragraph.text, paragraph)
        counts["equal_paragraphs"] = counts.get("equal_paragraphs", 0) + len(some) - (len(distinct) - before)
    return list(distinct.values()), {name: n for name, n in counts.items() if n}


def _of_file(path: Path, config: ParagraphsConfig, counts: dict[str, int]) -> Iterator[Paragraph]:
    from nlp_tasks.data import read_table
    from nlp_tasks.lines import read_lines, suffix
    from nlp_tasks.qa.files import squad_paragraphs

    kind = {".txt": "lines", "": "lines", ".json": "squad"}.get(suffix(path), "auto")
    kind = kind if config.format == "auto" else config.format
    texts: Iterator[tuple[str, str]]
    if kind == "lines":
        texts = ((f"line {n}", line.rstrip("\r\n")) for n, line in read_lines(path, config.encoding, flags="read"))
    elif kind == "squad":
        texts = _passages(squad_paragraphs(path, config.encoding, flags="read"), path, config, counts)
    else:
        settings = FilesConfig(
            format=kind,  # type: ignore[arg-type]
            columns=config.columns,
            encoding=config.encoding,
            bad_rows=config.bad_rows,
        )
        table = read_table(path, settings, [config.text], flags="read")
        counts |= {reason: counts.get(reason, 0) + n for reason, n in table.left_out.items()}
        texts = ((f"line {n}", text) for n, text in zip(table.lines, table.texts[config.text], strict=True))
    for source, text in texts:
        if text.strip():
            yield Paragraph(text, str(path), source)


def _passages(
    paragraphs: Iterable[tuple[str, Any, Any]], path: Path, config: ParagraphsConfig, counts: dict[str, int]
) -> Iterator[tuple[str, str]]:
    """Source and passage of the paragraphs that have a passage."""
    from nlp_tasks.examples import HALF, is_text

    for source, text, _ in paragraphs:
        reason = "context is no text" if not isinstance(text, str) else "" if is_text(text) else HALF
        if not reason:
            yield source, text
        elif config.bad_rows == "drop":
            counts[reason] = counts.get(reason, 0) + 1
        else:
            raise InputError(f"{source} of {path}: {reason}. Mend it or pass --read.bad-rows drop.")
