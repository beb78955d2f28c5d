"""Questions about passages from files: SQuAD's JSON, or JSON lines."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlp_tasks.examples import flag
from nlp_tasks.lines import read_json_document, suffix
from nlp_tasks.qa.config import NewQuestionsConfig, QuestionFilesConfig
from nlp_tasks.qa.data import QuestionSet, add_question, complete, count_questions
from nlp_tasks.rows import json_lines, parquet_rows
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
    """
    path = Path(path)
    kind = config.format if config.format != "auto" else _FORMATS.get(suffix(path))
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} is not known ({', '.join(_FORMATS)} are). "
            f"Set {flag(flags, 'format')} to squad, jsonl or parquet."
        )
    number: dict[str, int] = {}
    examples = QuestionSet(path, [], [], bad_rows=config.bad_rows)
    counts: Counter[str] = Counter()
    bad: list[tuple[str, str]] = []
    with Progress(f"reading {path.name}", None, "questions") as progress:
        for source, row, problem in _rows(path, kind, config.encoding, flags):
            progress.advance()
            problem = problem or add_question(examples, number, counts, source, row, answers)
            if problem:
                bad.append((source, problem))
    left_out = count_questions(path, bad, config.bad_rows)
    return complete(examples, number, counts, dict(left_out))


Row = tuple[str, dict[str, Any], str]
"""Source, the question with its passage as ``context``, and the reason why it is unusable ("" where it is not)."""


def squad_paragraphs(
    path: Path, encoding: str = "utf-8", *, flags: str | None = None
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Source, passage and questions of each paragraph of a file in SQuAD's form.

    Raises:
        InputError: It is missing, not UTF-8, or of another form.
    """
    articles = read_json_document(path, encoding, flags=flags)
    try:
        for a, article in enumerate(articles["data"], 1):
            for p, paragraph in enumerate(article["paragraphs"], 1):
                yield f"paragraph {p} of article {a}", paragraph["context"], list(map(dict, paragraph["qas"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not in SQuAD's form: data, paragraphs, context, qas ({error!r}). For one question a line, set "
            "format to jsonl."
        ) from error


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
