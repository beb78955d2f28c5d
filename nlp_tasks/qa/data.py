"""Questions about passages, from SQuAD's JSON, JSON lines or lists; unusable ones are refused or counted."""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.examples import HALF, check_lengths, is_text, not_empty, text_list
from nlp_tasks.normalisation import normalise, with_positions
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class Reference:
    """Reference answer."""

    text: str
    """Stripped."""

    start: int | None = None
    """Its first character in the passage; None where the passage does not hold it."""

    length: int | None = None
    """Its characters in the passage, where that spells it in another normalisation; None: those of ``text``."""

    @property
    def stop(self) -> int | None:
        """One past its last character in the passage."""
        return None if self.start is None else self.start + (self.length or len(self.text))


@dataclass(frozen=True)
class Question:
    """A question about a passage."""

    id: str
    """As in the file; the source where it has none."""

    text: str
    """Stripped; not empty."""

    passage: int
    """Number of the passage."""

    answers: tuple[Reference, ...]
    """All answers that count as right; none where the passage does not answer the question."""

    source: str
    """Line, or question, paragraph and article of the file, for messages."""

    @property
    def target(self) -> Reference | None:
        """The first answer that the passage holds."""
        return next((answer for answer in self.answers if answer.start is not None), None)


@dataclass(frozen=True)
class QuestionSet:
    """Questions in the order of their file or lists, and their passages."""

    path: Path
    """File, or name of the lists."""

    passages: list[str]
    """Passages, unchanged to the last character; equal ones once."""

    questions: list[Question]
    """The questions."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Number of unusable questions, by reason."""

    counts: dict[str, int] = field(default_factory=dict)
    """Number of answers that are not at the position in the file, by what was done."""

    bad_rows: str = "raise"
    """Policy for unusable questions: ``raise`` or ``drop``."""

    digest: str | None = None
    """Fingerprint of lists; None for a file."""

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def texts(self) -> list[str]:
        """Texts of the questions."""
        return [question.text for question in self.questions]

    @property
    def about(self) -> NDArray[np.int64]:
        """``[questions]`` number of each question's passage."""
        return np.array([question.passage for question in self.questions], np.int64)

    @property
    def references(self) -> list[list[str]]:
        """Texts of each question's reference answers."""
        return [[answer.text for answer in question.answers] for question in self.questions]

    def without(self, reasons: Sequence[str]) -> "QuestionSet":
        """Drop the questions with a reason, and count them.

        Args:
            reasons: ``[n]``, "" for a question that stays.

        Raises:
            InputError: There is one, and ``bad_rows`` is ``raise``; or nothing is left.
        """
        bad = [(q.source, reason) for q, reason in zip(self.questions, reasons, strict=True) if reason]
        left_out = Counter(self.left_out) + count_questions(self.path, bad, self.bad_rows)
        good = [q for q, reason in zip(self.questions, reasons, strict=True) if not reason]
        return not_empty(replace(_about(self, good), left_out=dict(left_out)), "question")


def question_set(
    questions: Iterable[str], passages: Iterable[str], answers: Iterable[Any] | None, name: str
) -> QuestionSet:
    """Make a set of lists, all of one length.

    Args:
        questions: The questions.
        passages: Passage of each.
        answers: Answer of each: a text, a list of texts that all count as right, or None where there is none.
        name: Part of the data, such as ``training``; for messages.

    Raises:
        InputError: Not lists of texts, of different lengths, or empty ones.
    """
    questions, passages = text_list(questions, "questions"), text_list(passages, "passages")
    if isinstance(answers, str | bytes):
        raise InputError("answers is a single string; give a list with the answers of each question.")
    rights = [_answer_list(answer) for answer in ([None] * len(questions) if answers is None else answers)]
    check_lengths({"questions": questions, "passages": passages, "answers": rights})
    digest = sha256(json.dumps([questions, passages, rights]).encode()).hexdigest()
    examples = QuestionSet(Path(f"the {name} questions"), [], [], digest=digest)
    number: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for n, (question, passage, right) in enumerate(zip(questions, passages, rights, strict=True)):
        row = {"question": question, "context": passage, "answers": right}
        if problem := add_question(examples, number, counts, f"question {n + 1}", row, True):
            raise InputError(f"number {n + 1} of {examples.path}: {problem}.")
    return complete(examples, number, counts, {})


def _answer_list(answer: Any) -> list[Any]:
    if answer is None or isinstance(answer, str):
        return [] if answer is None else [answer]
    return list(answer)


def complete(
    examples: QuestionSet, number: dict[str, int], counts: Counter[str], left_out: dict[str, int]
) -> QuestionSet:
    """Put passages, in the order of their numbers, and counts into a set; refuse an empty one."""
    examples.passages.extend(number)
    counts_left = {name: n for name, n in counts.items() if n}
    return not_empty(replace(examples, left_out=left_out, counts=counts_left), "question")


def add_question(
    examples: QuestionSet, number: dict[str, int], counts: Counter[str], source: str, row: dict[str, Any], answers: bool
) -> str:
    """Add one question to ``examples``, or return the reason why not."""
    for name in ("question", "context"):
        if name not in row:
            return f"no key {name!r}"
        if not isinstance(row[name], str):
            return f"{name} is no text"
        if not row[name].strip():
            return f"{name} is empty"
        if not is_text(row[name]):
            return HALF
    passage, pairs = row["context"], _answers(row) if answers else []
    if pairs is None:
        return "answers are no list of texts, or of objects with a text and perhaps answer_start"
    if any(not text.strip() for text, _ in pairs):
        return "an answer is empty"
    if not all(is_text(text) for text, _ in pairs):
        return HALF
    references = []
    for text, start in pairs:
        answer = Reference(text.strip(), _locate(passage, text, start))
        if answer.start is None:
            answer = _locate_normalised(passage, answer, start)
        counts["answers_not_in_passage"] += answer.start is None
        counts["answers_begin_elsewhere"] += (
            start is not None and answer.start is not None and answer.start != _lead(text) + start
        )
        references.append(answer)
    about = number.setdefault(passage, len(number))
    id_ = row.get("id", row.get("query_id"))
    examples.questions.append(
        Question(str(source if id_ is None else id_), row["question"].strip(), about, tuple(references), source)
    )
    return ""


def _answers(row: dict[str, Any]) -> list[tuple[str, int | None]] | None:
    """Text and start of each answer: SQuAD's objects, texts alone, or Hugging Face's object of two lists."""
    answers = row.get("answers")
    if isinstance(answers, dict) and isinstance(answers.get("text"), list):
        starts = answers.get("answer_start", [None] * len(answers["text"]))
        if not isinstance(starts, list) or len(starts) != len(answers["text"]):
            return None
        answers = [{"text": text, "answer_start": start} for text, start in zip(answers["text"], starts, strict=True)]
    if not isinstance(answers, list):
        return None
    objects = [answer if isinstance(answer, dict) else {"text": answer} for answer in answers]
    pairs = [(answer.get("text"), answer.get("answer_start")) for answer in objects]
    if all(isinstance(text, str) and (start is None or type(start) is int) for text, start in pairs):
        return [] if row.get("is_impossible") is True else pairs  # type: ignore[return-value]
    return None


def _lead(text: str) -> int:
    return len(text) - len(text.lstrip())


def _locate(passage: str, text: str, start: int | None) -> int | None:
    """First character of a stripped answer: the position in the file, or the nearest occurrence to it."""
    answer, expected = text.strip(), 0 if start is None else start + _lead(text)
    if expected >= 0 and passage.startswith(answer, expected):
        return expected
    after, before = passage.find(answer, max(0, expected)), passage.rfind(answer, 0, max(0, expected) + len(answer))
    positions = [position for position in (before, after) if position >= 0]
    return min(positions, key=lambda position: abs(position - expected), default=None)


def _locate_normalised(passage: str, answer: Reference, start: int | None) -> Reference:
    """Answer that the passage may spell in another normalisation, at its place there."""
    if (passage.isascii() and answer.text.isascii()) or not (text := normalise(answer.text)):
        return answer
    normal, positions = with_positions(passage)
    first = _locate(normal, text, None if start is None else bisect_left(positions, start))
    if first is None:
        return answer
    return replace(answer, start=positions[first], length=positions[first + len(text)] - positions[first])


def count_questions(path: Path, bad: Sequence[tuple[str, str]], policy: str) -> Counter[str]:
    """Count questions by reason, or refuse them."""
    reasons = Counter(reason for _, reason in bad)
    if bad and policy == "raise":
        numbers = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
        raise InputError(
            f"{bad[0][0]} of {path}: {bad[0][1]}; {len(bad):,} such questions in all ({numbers}). Mend them or set "
            "bad_rows to drop."
        )
    return reasons


def unusable(examples: QuestionSet, *, train: bool, no_answer: bool) -> list[str]:
    """Reason why a question cannot be used, "" where it can.

    Args:
        examples: The questions.
        train: For training, where an answer must be in its passage.
        no_answer: Allow questions without an answer.
    """

    def reason(question: Question) -> str:
        if train and question.answers and question.target is None:
            return "the answer is not in its passage"
        if not question.answers and not no_answer:
            return "no answer, and task.no_answer is not set"
        return ""

    return [reason(question) for question in examples.questions]


def hold_out_passages(examples: QuestionSet, share: float, seed: int) -> tuple[QuestionSet, QuestionSet]:
    """Split questions into training and validation by passage, at random: no passage has questions in both.

    Raises:
        InputError: There are too few for both.
    """
    passages = sorted({question.passage for question in examples.questions})
    n = round(len(passages) * share)
    if not 0 < n < len(passages):
        raise InputError(
            f"holding out the share {share} of the {len(passages):,} passages of {examples.path} leaves nothing for "
            "training or for validation. Give validation questions."
        )
    held = set(np.random.default_rng(seed).choice(passages, n, replace=False).tolist())
    training, validation = (
        _about(examples, [q for q in examples.questions if (q.passage in held) == is_held]) for is_held in (False, True)
    )
    return training, replace(validation, left_out={}, counts={})


def _about(source: QuestionSet, questions: Sequence[Question]) -> QuestionSet:
    """Select questions and their passages."""
    passages = sorted({question.passage for question in questions})
    number = {passage: n for n, passage in enumerate(passages)}
    renumbered = [replace(question, passage=number[question.passage]) for question in questions]
    return replace(source, passages=[source.passages[n] for n in passages], questions=renumbered)
