"""Questions about passages from files: SQuAD's JSON, or JSON lines."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlp_tasks.data import json_object, read_lines
from nlp_tasks.qa.config import NewQuestionsConfig, QuestionFilesConfig
from nlp_tasks.qa.data import QuestionSet, add_question, complete, count_questions
from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.progress import Progress

_FORMATS = {".json": "squad", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def read_set(path: Path, config: QuestionFilesConfig | NewQuestionsConfig, *, answers: bool = True) -> QuestionSet:
    """Read one file.

    The position of an answer is the one in the file, else the nearest occurrence in the passage; an answer without one
    remains as a reference to compare with.

    Args:
        path: The file.
        config: How it is read.
        answers: Read the answers; else there need not be any.

    Raises:
        InputError: It is missing, not UTF-8, of another form, or has questions that cannot be used (see ``bad_rows``).
    """
    path = Path(path)
    kind = config.format if config.format != "auto" else _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} is not known ({', '.join(_FORMATS)} are). "
            "Set format to squad or jsonl."
        )
    number: dict[str, int] = {}
    examples = QuestionSet(path, [], [], bad_rows=config.bad_rows)
    counts: Counter[str] = Counter()
    bad: list[tuple[str, str]] = []
    with Progress(f"reading {path.name}", None, "questions") as progress:
        for source, row, problem in _squad_rows(path) if kind == "squad" else _json_rows(path):
            progress.advance()
            problem = problem or add_question(examples, number, counts, source, row, answers)
            if problem:
                bad.append((source, problem))
    left_out = count_questions(path, bad, config.bad_rows)
    return complete(examples, number, counts, dict(left_out))


Row = tuple[str, dict[str, Any], str]
"""Source, the question with its passage as ``context``, and the reason why it is unusable ("" where it is not)."""


def squad_paragraphs(path: Path) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Source, passage and questions of each paragraph of a file in SQuAD's form.

    Raises:
        InputError: It is missing, not UTF-8, or of another form.
    """
    for _ in read_lines(path):  # names the line that is not UTF-8, where there is one
        pass
    try:
        for a, article in enumerate(read_json(path)["data"], 1):
            for p, paragraph in enumerate(article["paragraphs"], 1):
                yield f"paragraph {p} of article {a}", paragraph["context"], list(map(dict, paragraph["qas"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not in SQuAD's form: data, paragraphs, context, qas ({error!r}). For one question a line, set "
            "format to jsonl."
        ) from error


def _squad_rows(path: Path) -> Iterator[Row]:
    for source, passage, questions in squad_paragraphs(path):
        for n, row in enumerate(questions, 1):
            yield f"question {n} of {source}", row | {"context": passage}, ""


def _json_rows(path: Path) -> Iterator[Row]:
    for line, text in read_lines(path):
        if not text.strip():
            continue
        yield f"line {line}", *json_object(text)
