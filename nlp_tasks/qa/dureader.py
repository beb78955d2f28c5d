"""DuReader 2.0 (https://arxiv.org/abs/1711.05073) as extractive question answering.

A line is a question with five documents and answers that people wrote. Its preprocessed files name the span that is
most like an answer, in words of one paragraph; in the raw ones an answer can be read where it stands in a paragraph.
"""

from collections.abc import Iterator, Mapping
from typing import Any

NO_SPAN = "no answer stands in a paragraph (DuReader)"
"""Reason for leaving a question out of extractive question answering."""

MALFORMED = "documents are no list of objects with paragraphs"


def is_dureader(row: Mapping[str, Any]) -> bool:
    """True for a question with documents in place of a passage."""
    return "documents" in row and "context" not in row


def extractive(row: dict[str, Any], *, answers: bool) -> tuple[dict[str, Any], str]:
    """Read a question about one passage.

    Args:
        row: The question, its ``documents`` and ``answers``.
        answers: Take the paragraph with the answer as passage; else all paragraphs, with line breaks between.

    Returns:
        The question with ``context`` and ``answers``, and the reason why there is none ("" where there is one). The
        answers that people wrote remain as references beside the span.
    """
    try:
        documents = [[str(text) for text in document["paragraphs"]] for document in row["documents"]]
    except (KeyError, TypeError):
        return row, MALFORMED
    question = {**row, "id": row.get("question_id")}
    if not answers:
        return question | {"context": "\n".join(text for paragraphs in documents for text in paragraphs)}, ""
    written = row.get("answers")
    texts = [text for text in written if isinstance(text, str) and text.strip()] if isinstance(written, list) else []
    passage, span = _preprocessed_span(row) or _literal_span(row, documents, texts) or ("", None)
    if span is None:
        return row, NO_SPAN
    others = [{"text": text} for text in texts if text.strip() != span["text"].strip()]
    return question | {"context": passage, "answers": [span, *others]}, ""


def _preprocessed_span(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Paragraph and span of ``answer_spans``, whose ends are words of ``segmented_paragraphs``, the last included."""
    try:
        document = row["documents"][row["answer_docs"][0]]
        number = document["most_related_para"]
        passage, words = document["paragraphs"][number], document["segmented_paragraphs"][number]
        first, last = row["answer_spans"][0]
        start, text = len("".join(words[:first])), "".join(words[first : last + 1]).strip()
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return (passage, {"text": text, "answer_start": start}) if text and text in passage else None


def _literal_span(
    row: Mapping[str, Any], documents: list[list[str]], texts: list[str]
) -> tuple[str, dict[str, Any]] | None:
    """First paragraph in which an answer stands, of the documents that annotators selected before the others."""
    for passage in _selected_first(row, documents):
        for text in texts:
            if (start := passage.find(text.strip())) >= 0:
                return passage, {"text": text.strip(), "answer_start": start}
    return None


def _selected_first(row: Mapping[str, Any], documents: list[list[str]]) -> Iterator[str]:
    selected = [bool(document.get("is_selected")) for document in row["documents"]]
    for n in sorted(range(len(documents)), key=lambda n: not selected[n]):
        yield from documents[n]
