"""Questions about passages from files: JSON of SQuAD and CMRC, JSON lines, DuReader among them, or Parquet."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlp_tasks.examples import flag
from nlp_tasks.lines import read_json_document, read_lines, suffix
from nlp_tasks.qa.config import NewQuestionsConfig, QuestionFilesConfig
from nlp_tasks.qa.data import QuestionSet, add_question, complete, count_questions
from nlp_tasks.qa.dureader import NO_SPAN, extractive, is_dureader
from nlp_tasks.rows import json_lines, json_object, parquet_rows
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress

_FORMATS = {".json": "squad", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}


def read_set(
    path: Path, config: QuestionFilesConfig | NewQuestionsConfig, *, answers: bool = True, flags: str = "data"
) -> QuestionSet:
    """Read one file.

    The position of an answer is the one in the file, else the nearest occurrence in the passage; an answer without one
    remains as a reference to compare with.

    Args:
        path: The file.
        config: How it is read.
        answers: Read the answers; else there need not be any.
        flags: Group of the command's flags with these settings, for messages.

    Raises:
        InputError: It is missing, not UTF-8, of another form, or has questions that cannot be used (see ``bad_rows``).
            Questions of DuReader whose answers were written freely are left out and counted, whatever the policy.
    """
    path = Path(path)
    kind = config.format if config.format != "auto" else _format(path, config.encoding, flags)
    number: dict[str, int] = {}
    examples = QuestionSet(path, [], [], bad_rows=config.bad_rows)
    counts: Counter[str] = Counter()
    bad: list[tuple[str, str]] = []
    not_extractive: Counter[str] = Counter()
    with Progress(f"reading {path.name}", None, "questions") as progress:
        for source, row, problem in _rows(path, kind, config.encoding, flags):
            progress.advance()
            if not problem and is_dureader(row):
                row, reason = extractive(row, answers=answers)
                if reason == NO_SPAN:
                    not_extractive[reason] += 1
                    continue
                problem = reason
            problem = problem or add_question(examples, number, counts, source, row, answers)
            if problem:
                bad.append((source, problem))
    for reason, n in not_extractive.items():
        print(f"{path.name}: {n:,} questions left out: {reason}", file=sys.stderr)
    left_out = count_questions(path, bad, config.bad_rows) + not_extractive
    return complete(examples, number, counts, dict(left_out))


def _format(path: Path, encoding: str, flags: str) -> str:
    """Format by the ending; JSON lines may be called ``.json``, as in DuReader.

    Raises:
        InputError: The ending is not known.
    """
    kind = _FORMATS.get(suffix(path))
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} is not known ({', '.join(_FORMATS)} are). "
            f"Set {flag(flags, 'format')} to squad, jsonl or parquet."
        )
    if kind == "squad":
        lines = read_lines(path, encoding, flags=flags)
        first = next((line.strip() for _, line in lines if line.strip()), "")
        row, problem = json_object(first) if first.startswith("{") else ({}, "no JSON object")
        return "jsonl" if not problem and "question" in row else kind
    return kind


Row = tuple[str, dict[str, Any], str]
"""Source, the question with its passage as ``context``, and the reason why it is unusable ("" where it is not)."""


def squad_paragraphs(
    path: Path, encoding: str = "utf-8", *, flags: str | None = None
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Source, passage and questions of each paragraph of a file in the form of SQuAD, or of the first CMRC.

    CMRC's first files are a list of paragraphs, with ``context_text``, ``query_text`` and answers that are texts alone.

    Raises:
        InputError: It is missing, not UTF-8, or of another form.
    """
    document = read_json_document(path, encoding, flags=flags)
    try:
        if isinstance(document, list):
            for p, paragraph in enumerate(document, 1):
                yield f"paragraph {p}", paragraph["context_text"], list(map(_question_of_cmrc, paragraph["qas"]))
            return
        for a, article in enumerate(document["data"], 1):
            for p, paragraph in enumerate(article["paragraphs"], 1):
                yield f"paragraph {p} of article {a}", paragraph["context"], list(map(dict, paragraph["qas"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not in SQuAD's form (data, paragraphs, context, qas) nor CMRC's (context_text, qas, "
            f"query_text): {error!r}. For one question a line, set format to jsonl."
        ) from error


def _question_of_cmrc(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "question": row["query_text"]}


def _rows(path: Path, kind: str, encoding: str, flags: str) -> Iterator[Row]:
    if kind == "parquet":
        return ((f"row {number}", row, "") for number, row in parquet_rows(path))
    if kind == "jsonl":
        return ((f"line {number}", row, problem) for number, row, problem in json_lines(path, encoding, flags=flags))
    return _squad_rows(path, encoding, flags)


def _squad_rows(path: Path, encoding: str, flags: str) -> Iterator[Row]:
    for source, passage, questions in squad_paragraphs(path, encoding, flags=flags):
        for n, row in enumerate(questions, 1):
            yield f"question {n} of {source}", row | {"context": passage}, ""
