"""Files of annotated sentences; unusable sentences are named by line or counted, odd annotation is repaired."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from nlp_tasks.examples import count_or_refuse, not_empty
from nlp_tasks.lines import read_lines, suffix
from nlp_tasks.tagging.config import FORMATS, AnnotatedFilesConfig
from nlp_tasks.tagging.data import AnnotatedSentences
from nlp_tasks.tagging.formats.columns import check_tag_columns, recognise_columns
from nlp_tasks.tagging.formats.conll import read_conll
from nlp_tasks.tagging.formats.objects import from_objects, read_objects
from nlp_tasks.tagging.formats.pubtator import is_pubtator
from nlp_tasks.tagging.formats.reading import Reading, from_texts
from nlp_tasks.tagging.formats.slashes import recognise_slashes
from recsys_bert.errors import InputError


def read_annotated(
    path: Path, config: AnnotatedFilesConfig, *, entities: bool = True, flags: str = "data"
) -> AnnotatedSentences:
    """Read one file of sentences, or a folder of brat.

    Args:
        path: The file.
        config: Its format.
        entities: Read entities as well; else tags may be missing and are ignored.
        flags: Prefix of these settings in the command, for messages.

    Raises:
        InputError: It is missing, empty, of another encoding, or has unusable sentences (see ``bad_rows``).
    """
    path = Path(path)
    reading = Reading(path, config, flags)
    kind = _format(reading, entities)
    if kind == "conll":
        sentences = read_conll(reading, entities)
    elif kind == "lines":
        if entities:
            raise InputError(
                f"{path} is read as lines of text, which have no entities. If its lines are words with tags, set "
                f"--{flags}.format conll; else give a conll or jsonl file."
            )
        lines = read_lines(path, config.encoding, flags=flags)
        sentences = from_texts(path, [(line, text) for line, text in lines if text.strip()], config)
    else:
        sentences = from_objects(reading, list(read_objects(reading, kind, entities)))
    left_out = Counter(sentences.left_out) + reading.left_out
    left_out += count_or_refuse(path, sorted(reading.bad), config.bad_rows, flags)
    repaired = {name: n for name, n in reading.repaired.items() if n}
    sentences = replace(sentences, left_out=dict(left_out), flags=flags, bad_rows=config.bad_rows, repaired=repaired)
    not_empty(sentences, "sentence")
    if entities:
        print(_summary(sentences), file=sys.stderr)
    return sentences


def _format(reading: Reading, entities: bool) -> str:
    """Format as set, by the ending, or by the contents; text without entities is lines unless its ending says more."""
    path, config, flags = reading.path, reading.config, reading.flags
    if config.format != "auto":
        return config.format
    if path.is_dir():
        return "brat"
    ending = suffix(path)
    if (kind := FORMATS.get(ending)) is not None:
        return kind
    first = next((line.strip() for _, line in read_lines(path, config.encoding, flags=flags) if line.strip()), "")
    if first.startswith(("{", "[{")) or first == "[":
        return "json"
    if is_pubtator(first):
        return "pubtator"
    if tags := recognise_slashes(reading):
        return _slashes(reading, tags, entities)
    columns = recognise_columns(path, config, flags=flags, strict=True)
    if not entities:
        return "lines" if columns is None else _lines_of_tags(reading, columns.describe(), "conll")
    if columns is None and ending == ".txt":
        return "lines"
    if columns is None:
        check_tag_columns(path, columns, config, flags)
    return "conll"


def _slashes(reading: Reading, tags: Counter[str], entities: bool) -> str:
    """Format of a file of ``word/tag``.

    Raises:
        InputError: Entities are read, and no tag says that a word is none.
    """
    if not entities:
        return _lines_of_tags(reading, "word/tag", "slashes")
    if not {"o", "O"} & set(tags):
        names = ", ".join(tag for tag, _ in tags.most_common(5))
        raise InputError(
            f"{reading.path} has words with tags behind a slash ({names}), but none is o, as if they were parts of "
            f"speech. If every tag is a type of entity, set --{reading.flags}.format slashes."
        )
    return "slashes"


def _lines_of_tags(reading: Reading, described: str, kind: str) -> str:
    print(
        f"{reading.path} looks like words with tags ({described}), but is read as lines of text; to read its words, "
        f"set --{reading.flags}.format {kind}",
        file=sys.stderr,
    )
    return "lines"


def _summary(data: AnnotatedSentences) -> str:
    """Counts of a file: sentences, entities, columns; what was left out or repaired."""
    outer = sum(len(one.levels[0]) for one in data.sentences)
    inner = sum(len(level) for one in data.sentences for level in one.levels[1:])
    nested = f", {inner:,} within others" if inner else ""
    where = ""
    if data.columns is not None:
        where = f"; words in column {data.columns[0]}, tags in {' '.join(map(str, data.columns[1]))}"
    lines = [f"{data.path.name}: {len(data):,} sentences, {outer:,} entities{nested}{where}"]
    lines += [f"  {n:,} sentences left out: {reason}" for reason, n in data.left_out.items()]
    return "\n".join([*lines, *(f"  {n:,} {name}" for name, n in data.repaired.items())])
