"""Annotation of brat (https://brat.nlplab.org/standoff.html): a folder of ``.txt`` and ``.ann`` files."""

from collections.abc import Iterator
from pathlib import Path

from nlp_tasks.lines import read_lines, read_text
from recsys_bert.errors import InputError

Mention = tuple[int, int, str, str]
"""First character, one past the last, type, text."""


BratLine = tuple[str, list[Mention]]
"""A line of a document, which brat shows as a sentence, with its entities; several lines where one crosses them."""


def brat_files(path: Path) -> list[Path]:
    """The ``.ann`` files of a folder, or the one given.

    Raises:
        InputError: There is none.
    """
    files = sorted(path.rglob("*.ann")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} is a folder without .ann files of brat.")
    return files


def read_brat(file: Path, encoding: str, flags: str) -> tuple[list[BratLine], dict[str, int]]:
    """Lines of one document, and counts of annotations left out.

    Args:
        file: Its ``.ann`` file; the ``.txt`` lies beside.
        encoding: Of both.
        flags: Group of the command's flags, for messages.

    Raises:
        InputError: One of them cannot be read, or the annotation has another form.
    """
    text = read_text(file.with_suffix(".txt"), encoding, flags=flags)
    mentions: list[Mention] = []
    counts: dict[str, int] = {}
    for number, line in read_lines(file, encoding, flags=flags):
        if not line.startswith("T"):  # relations, events, attributes, notes
            continue
        cells = line.split("\t")
        kind, _, spans = cells[1].partition(" ") if len(cells) == 3 else ("", "", "")
        if ";" in spans:
            counts["discontinuous entities left out"] = counts.get("discontinuous entities left out", 0) + 1
            continue
        try:
            start, stop = map(int, spans.split())
        except ValueError as error:
            raise InputError(
                f"line {number} of {file} is no annotation of brat: T1<tab>TYPE start end<tab>text."
            ) from error
        mentions.append((start, stop, kind, cells[2]))
    return list(lines_with_mentions(text, sorted(mentions))), counts


def lines_with_mentions(text: str, mentions: list[Mention]) -> Iterator[BratLine]:
    """Lines of a text with their entities, whose positions are then those in the line."""
    start = 0
    ends = [n for n, letter in enumerate(text) if letter == "\n"] + [len(text)]
    for end in ends:
        if any(first < end < stop for first, stop, _, _ in mentions if first >= start):
            continue  # an entity goes on in the next line
        inside = [(a - start, b - start, kind, surface) for a, b, kind, surface in mentions if start <= a and b <= end]
        if text[start:end].strip():
            yield text[start:end], inside
        start = end + 1
