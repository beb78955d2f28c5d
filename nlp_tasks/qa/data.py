"""Questions about passages, from SQuAD's JSON or JSON lines: passages as they stand, bad questions named or counted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nlp_tasks.data import HALF, is_text, json_object, not_empty, read_lines
from nlp_tasks.qa.config import NewSetConfig, ReadingFilesConfig
from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.progress import Progress

_FORMATS = {".json": "squad", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True)
class Answer:
    """One answer that a question has."""

    text: str
    """Without blanks around it."""

    start: int | None = None
    """Its first character in the passage; None where the passage does not hold it."""


@dataclass(frozen=True)
class Question:
    """A question about a passage."""

    id: str
    """As the file has it; its place there where it has none."""

    text: str
    """Without blanks around it; not empty."""

    passage: int
    """Number of the passage."""

    answers: tuple[Answer, ...]
    """Every answer that counts as right; none where the passage does not answer the question."""

    place: str
    """Where it stands in the file, to go into messages."""

    @property
    def target(self) -> Answer | None:
        """The first answer that the passage holds."""
        return next((answer for answer in self.answers if answer.start is not None), None)


@dataclass(frozen=True)
class ReadingSet:
    """Questions in the order of their file, and the passages that they are about."""

    path: Path
    """Where they come from."""

    passages: list[str]
    """Passages to the last character as they stand in the file; equal ones once."""

    questions: list[Question]
    """The questions."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Questions that could not be used, by reason."""

    counts: dict[str, int] = field(default_factory=dict)
    """Answers that are not where the file says, by what was done."""

    def __len__(self) -> int:
        return len(self.questions)

    def without(self, reasons: Sequence[str], policy: str) -> "ReadingSet":
        """Leave out the questions with a reason.

        Args:
            reasons: ``[n]``, "" for a question that stays.
            policy: ``raise`` or ``drop``.

        Raises:
            InputError: There is one, and the policy is ``raise``; or nothing stays.
        """
        bad = [(q.place, reason) for q, reason in zip(self.questions, reasons, strict=True) if reason]
        left_out = Counter(self.left_out) + _counted(self.path, bad, policy)
        kept = [q for q, reason in zip(self.questions, reasons, strict=True) if not reason]
        return not_empty(replace(_about(self, kept), left_out=dict(left_out)), "question")


def read_set(path: Path, config: ReadingFilesConfig | NewSetConfig, *, answers: bool = True) -> ReadingSet:
    """Read one file.

    An answer is looked for where the file says that it begins, and else at the nearest place in the passage that holds
    it; one that the passage does not hold stays as a text to compare with.

    Args:
        path: The file.
        config: How it is read.
        answers: Whether answers are read; without, there need not be any.

    Raises:
        InputError: It is missing, not UTF-8, of another form, or has questions that cannot be used (see ``bad_rows``).
    """
    path = Path(path)
    kind = config.format if config.format != "auto" else _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} does not say how to read it (known: {', '.join(_FORMATS)}). Set "
            "format to squad or jsonl."
        )
    number: dict[str, int] = {}
    found = ReadingSet(path, [], [])
    counts: Counter[str] = Counter()
    bad: list[tuple[str, str]] = []
    with Progress(f"reading {path.name}", None, "questions") as progress:
        for place, row, problem in _squad_rows(path) if kind == "squad" else _json_rows(path):
            progress.advance()
            problem = problem or _take(found, number, counts, place, row, answers)
            if problem:
                bad.append((place, problem))
    found.passages.extend(number)
    left_out = _counted(path, bad, config.bad_rows)
    found = replace(found, left_out=dict(left_out), counts={name: n for name, n in counts.items() if n})
    return not_empty(found, "question")


Row = tuple[str, dict[str, Any], str]
"""Place in the file, the question with its passage as ``context``, and what is wrong with it ("" where nothing is)."""


def squad_paragraphs(path: Path) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Place, passage and questions of each paragraph of a file in SQuAD's form.

    Raises:
        InputError: It is missing, not UTF-8, or of another form.
    """
    for _ in read_lines(path):  # says which line is not UTF-8, where one is not
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
    for place, passage, questions in squad_paragraphs(path):
        for n, row in enumerate(questions, 1):
            yield f"question {n} of {place}", row | {"context": passage}, ""


def _json_rows(path: Path) -> Iterator[Row]:
    for line, text in read_lines(path):
        if not text.strip():
            continue
        yield f"line {line}", *json_object(text)


def _take(
    found: ReadingSet, number: dict[str, int], counts: Counter[str], place: str, row: dict[str, Any], answers: bool
) -> str:
    """Add one question to ``found``, or say why not."""
    for name in ("question", "context"):
        if name not in row:
            return f"no key {name!r}"
        if not isinstance(row[name], str):
            return f"{name} is no text"
        if not row[name].strip():
            return f"{name} is empty"
        if not is_text(row[name]):
            return HALF
    passage, given = row["context"], _given(row) if answers else []
    if given is None:
        return "answers are no list of texts, or of objects with a text and perhaps answer_start"
    if any(not text.strip() for text, _ in given):
        return "an answer is empty"
    if not all(is_text(text) for text, _ in given):
        return HALF
    placed = []
    for text, start in given:
        answer = Answer(text.strip(), _locate(passage, text, start))
        counts["answers_not_in_passage"] += answer.start is None
        counts["answers_begin_elsewhere"] += (
            start is not None and answer.start is not None and answer.start != _lead(text) + start
        )
        placed.append(answer)
    about = number.setdefault(passage, len(number))
    id_ = row.get("id", row.get("query_id"))
    found.questions.append(
        Question(str(place if id_ is None else id_), row["question"].strip(), about, tuple(placed), place)
    )
    return ""


def _given(row: dict[str, Any]) -> list[tuple[str, int | None]] | None:
    """Text and start of each answer: SQuAD's objects, texts alone, or Hugging Face's object of two lists."""
    answers = row.get("answers")
    if isinstance(answers, dict) and isinstance(answers.get("text"), list):
        starts = answers.get("answer_start", [None] * len(answers["text"]))
        if not isinstance(starts, list) or len(starts) != len(answers["text"]):
            return None
        answers = [{"text": text, "answer_start": start} for text, start in zip(answers["text"], starts, strict=True)]
    if not isinstance(answers, list):
        return None
    given = [answer if isinstance(answer, dict) else {"text": answer} for answer in answers]
    pairs = [(answer.get("text"), answer.get("answer_start")) for answer in given]
    if all(isinstance(text, str) and (start is None or type(start) is int) for text, start in pairs):
        return [] if row.get("is_impossible") is True else pairs  # type: ignore[return-value]
    return None


def _lead(text: str) -> int:
    return len(text) - len(text.lstrip())


def _locate(passage: str, text: str, start: int | None) -> int | None:
    """First character of an answer without the blanks around it: where the file says, or nearest to that."""
    answer, wanted = text.strip(), 0 if start is None else start + _lead(text)
    if wanted >= 0 and passage.startswith(answer, wanted):
        return wanted
    after, before = passage.find(answer, max(0, wanted)), passage.rfind(answer, 0, max(0, wanted) + len(answer))
    places = [place for place in (before, after) if place >= 0]
    return min(places, key=lambda place: abs(place - wanted), default=None)


def _counted(path: Path, bad: Sequence[tuple[str, str]], policy: str) -> Counter[str]:
    """Count questions by reason, or refuse them."""
    reasons = Counter(reason for _, reason in bad)
    if bad and policy == "raise":
        told = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
        raise InputError(
            f"{bad[0][0]} of {path}: {bad[0][1]}; {len(bad):,} such questions in all ({told}). Mend them or set "
            "bad_rows to drop."
        )
    return reasons


def unusable(made: ReadingSet, *, train: bool, no_answer: bool) -> list[str]:
    """Why a question cannot be used, "" where it can.

    Args:
        made: The questions.
        train: They are learned from, so that an answer must be in its passage.
        no_answer: Whether a question may have none.
    """

    def reason(question: Question) -> str:
        if train and question.answers and question.target is None:
            return "the answer is not in its passage"
        if not question.answers and not no_answer:
            return "no answer, and task.no_answer is not set"
        return ""

    return [reason(question) for question in made.questions]


def hold_out_passages(made: ReadingSet, share: float, seed: int) -> tuple[ReadingSet, ReadingSet]:
    """Cut questions into training and validation, passages drawn at random: no passage has questions in both.

    Raises:
        InputError: There are too few for both.
    """
    asked = sorted({question.passage for question in made.questions})
    n = round(len(asked) * share)
    if not 0 < n < len(asked):
        raise InputError(
            f"{made.path} has questions about {len(asked):,} passages; holding out the share {share} leaves nothing "
            "for training or for validation. Give a validation file."
        )
    held = set(np.random.default_rng(seed).choice(asked, n, replace=False).tolist())
    training, validation = (
        _about(made, [q for q in made.questions if (q.passage in held) == wanted]) for wanted in (False, True)
    )
    return training, replace(validation, left_out={}, counts={})


def _about(made: ReadingSet, questions: Sequence[Question]) -> ReadingSet:
    """Some of the questions, and only the passages that they are about."""
    kept = sorted({question.passage for question in questions})
    number = {passage: n for n, passage in enumerate(kept)}
    renumbered = [replace(question, passage=number[question.passage]) for question in questions]
    return replace(made, passages=[made.passages[n] for n in kept], questions=renumbered)
