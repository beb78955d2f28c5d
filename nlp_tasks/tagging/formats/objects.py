"""Sentences of JSON objects, of rows, and of documents with spans: brat's and PubTator's."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from nlp_tasks.rows import json_lines, json_values, parquet_rows
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.data import REPAIRED, AnnotatedSentences
from nlp_tasks.tagging.formats.brat import brat_files, read_brat
from nlp_tasks.tagging.formats.csv_sentences import read_csv
from nlp_tasks.tagging.formats.json_sentences import TAGS_KEYS, JSONSentence, read_sentence, with_entities
from nlp_tasks.tagging.formats.pubtator import read_pubtator
from nlp_tasks.tagging.formats.reading import INCLUSIVE, UTF16, Reading, from_texts, of_words
from nlp_tasks.tagging.formats.slashes import read_slashes
from nlp_tasks.tagging.schemes import Scheme, Span
from nlp_tasks.tagging.sentences import levels_of, words_within
from nlp_tasks.tagging.tag_reading import find_file_scheme, is_tag, read_repaired, recognise_scheme
from recsys_bert.parsing import parse_json


def from_objects(reading: Reading, objects: Sequence[tuple[int, JSONSentence]]) -> AnnotatedSentences:
    """Sentences of objects: of words if the first usable one has words, else of texts."""
    for number, one in objects:
        if one.problem:
            reading.refuse(number, one.problem, one.lost)
    usable = [(number, one) for number, one in objects if not one.problem]
    of_words = bool(usable) and usable[0][1].words is not None
    for number, one in usable:
        if (one.words is not None) != of_words:
            reading.refuse(number, f"{'a text' if of_words else 'words'} where the file begins with the other")
    usable = [(number, one) for number, one in usable if (one.words is not None) == of_words]
    reading.repaired[INCLUSIVE] += sum(one.inclusive for _, one in usable)
    reading.repaired[UTF16] += sum(one.utf16 for _, one in usable)
    sentences = _tagged_words(reading, usable) if of_words else _spans_of_texts(reading, usable)
    return replace(sentences, digest=_digest(reading.path)) if reading.path.is_dir() else sentences


def read_objects(reading: Reading, kind: str, entities: bool) -> Iterator[tuple[int, JSONSentence]]:
    """Sentences of a file of objects, rows or documents, with their numbers."""
    if kind == "csv":
        return read_csv(reading, entities)
    if kind in _DOCUMENTS:
        return _DOCUMENTS[kind](reading)
    return _objects(reading, kind, entities)


def _brat(reading: Reading) -> Iterator[tuple[int, JSONSentence]]:
    number = 0
    for file in brat_files(reading.path):
        documents, counts = read_brat(file, reading.config.encoding, reading.flags)
        reading.repaired.update(counts)
        for text, mentions in documents:
            number += 1
            yield number, with_entities(text, mentions)


_DOCUMENTS: dict[str, Callable[[Reading], Iterator[tuple[int, JSONSentence]]]] = {
    "brat": _brat,
    "pubtator": read_pubtator,
    "slashes": read_slashes,
}


def _objects(reading: Reading, kind: str, entities: bool) -> Iterator[tuple[int, JSONSentence]]:
    path, config, flags = reading.path, reading.config, reading.flags
    names = config.tag_names
    values: Iterator[tuple[int, Any, str]]
    if kind == "parquet":
        names = names or _names_in(path, config.entities_key)
        values = ((number, row, "") for number, row in parquet_rows(path))
    else:
        values = (json_lines if kind == "jsonl" else json_values)(path, config.encoding, flags=flags)
    for number, cells, problem in values:
        if problem:
            yield number, JSONSentence(problem=problem)
        else:
            yield number, read_sentence(cells, config.text_key, config.entities_key, names, entities=entities)


def _names_in(path: Path, key: str | None) -> tuple[str, ...]:
    """Names of tags in the metadata that Hugging Face's ``datasets`` writes into Parquet files; none without."""
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    try:
        features = parse_json(metadata.get(b"huggingface", b"{}").decode()).get("info", {}).get("features", {})
        return _class_names(features, key)
    except (ValueError, AttributeError, TypeError, IndexError):  # written by another program
        return ()


def _class_names(features: Any, key: str | None) -> tuple[str, ...]:
    for name in TAGS_KEYS if key is None else (key,):
        feature = features.get(name, {})
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", {})
        if feature.get("names"):
            return tuple(feature["names"])
    return ()


def _digest(folder: Path) -> str:
    digest = sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".ann", ".txt"):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _tagged_words(reading: Reading, objects: Sequence[tuple[int, JSONSentence]]) -> AnnotatedSentences:
    config = reading.config
    scheme = scheme_of([tags for _, one in objects for tags in one.tags], config)
    rows = []
    for number, one in objects:
        levels: list[tuple[Span, ...]] = []
        problem = None
        for tags in one.tags:
            spans, repaired, wrong = read_repaired(tags, scheme)
            problem = problem or wrong
            reading.repaired[REPAIRED] += repaired
            levels.append(tuple(spans))
        if problem is None:
            rows.append((number, one.words or [], tuple(levels) or ((),)))
        else:
            reading.refuse(number, problem[1])
    return of_words(reading.path, rows, config)


def scheme_of(tags: Sequence[Sequence[str]], config: AnnotatedFilesConfig) -> Scheme:
    """Scheme as set, or by the letters; without letters, ``io``."""
    if config.scheme is not None:
        return find_file_scheme(config.scheme)
    if all(is_tag(tag) for one in tags for tag in one):
        return recognise_scheme(tags)
    return find_file_scheme("io")


def _spans_of_texts(reading: Reading, objects: Sequence[tuple[int, JSONSentence]]) -> AnnotatedSentences:
    read = from_texts(reading.path, [(number, one.text) for number, one in objects], reading.config)
    good = []
    for row, (number, one) in enumerate(objects):
        sentence = read.sentences[row]
        words = [(words_within(sentence, start, stop), kind) for start, stop, kind in one.entities]
        if any(span is None for span, _ in words):
            reading.refuse(number, f"an entity does not begin and end with {read.granularity}", len(words))
            continue
        read.sentences[row] = replace(sentence, levels=levels_of([Span(*span, kind) for span, kind in words if span]))
        good.append(row)
    return read.take(good)
