"""Paragraphs to search in, and where each stands in its file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlp_tasks.config import FilesConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ParagraphsConfig:
    """How files of paragraphs are read."""

    format: Literal["auto", "lines", "tsv", "csv", "jsonl", "squad"] = "auto"
    """lines: every line is a paragraph; squad: the passages of a reading set; the rest as in training a task.
    ``auto`` goes by the ending, and takes .txt as lines, .json as squad."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    text: str = "text"
    """Column with the paragraph; for tsv, csv and jsonl."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a row that cannot be used does: stop with its number, or drop out and be counted."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a file."""

    text: str
    """As it stands there; without blanks around it where it comes from a cell."""

    file: str
    """The file."""

    place: str
    """Where it stands there."""


def read_paragraphs(files: tuple[Path, ...], config: ParagraphsConfig) -> tuple[list[Paragraph], dict[str, int]]:
    """Different paragraphs of all files in order, and what was left out, by reason.

    Raises:
        InputError: A file cannot be read, is not UTF-8, holds no text, or has rows that cannot be used (see
            ``bad_rows``).
    """
    found: dict[str, Paragraph] = {}
    counts: dict[str, int] = {}
    for path in files:
        before, some = len(found), list(_of_file(path, config, counts))
        if not some:
            raise InputError(f"{path} holds no text.")
        for paragraph in some:
            found.setdefault(paragraph.text, paragraph)
        counts["equal_paragraphs"] = counts.get("equal_paragraphs", 0) + len(some) - (len(found) - before)
    return list(found.values()), {name: n for name, n in counts.items() if n}


def _of_file(path: Path, config: ParagraphsConfig, counts: dict[str, int]) -> Iterator[Paragraph]:
    from nlp_tasks.data import read_lines, read_table
    from nlp_tasks.qa.data import squad_paragraphs

    kind = {".txt": "lines", "": "lines", ".json": "squad"}.get(path.suffix.lower(), "auto")
    kind = kind if config.format == "auto" else config.format
    texts: Iterator[tuple[str, str]]
    if kind == "lines":
        texts = ((f"line {n}", line.rstrip("\r\n")) for n, line in read_lines(path))
    elif kind == "squad":
        texts = _passages(squad_paragraphs(path), path, config, counts)
    else:
        settings = FilesConfig(format=kind, columns=config.columns, bad_rows=config.bad_rows)  # type: ignore[arg-type]
        table = read_table(path, settings, [config.text], flags="read")
        counts |= {reason: counts.get(reason, 0) + n for reason, n in table.left_out.items()}
        texts = ((f"line {n}", text) for n, text in zip(table.lines, table.texts[config.text], strict=True))
    for place, text in texts:
        if text.strip():
            yield Paragraph(text, str(path), place)


def _passages(
    paragraphs: Iterable[tuple[str, Any, Any]], path: Path, config: ParagraphsConfig, counts: dict[str, int]
) -> Iterator[tuple[str, str]]:
    """Place and passage of those paragraphs that have one."""
    from nlp_tasks.data import HALF, is_text

    for place, text, _ in paragraphs:
        reason = "context is no text" if not isinstance(text, str) else "" if is_text(text) else HALF
        if not reason:
            yield place, text
        elif config.bad_rows == "drop":
            counts[reason] = counts.get(reason, 0) + 1
        else:
            raise InputError(f"{place} of {path}: {reason}. Mend it or pass --read.bad-rows drop.")
