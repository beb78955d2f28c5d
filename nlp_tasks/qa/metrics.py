"""Exact match and F1 of answers, as CMRC 2018 counts them for Chinese and SQuAD for English.

Chinese (https://github.com/ymcui/cmrc2018, its evaluation script v5): a Chinese character is a segment by itself, and
so is a word between characters; marks of the script's list are left out. F1 is over the longest run of segments that
answer and reference share. The script cuts words by NLTK, this module by a rule (``_WORD``) that differs on quotation
marks and odd signs: over made-up answers to the dev and trial questions, mean F1 differs by 0.00001.

English (https://aclanthology.org/D16-1264): F1 over the words that both hold, in any order, in small letters, without
punctuation and articles.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.normalisation import composed
from nlp_tasks.recall.sentences import sentence_spans

_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CHINESE = re.compile(r"[\u4e00-\u9fa5]")
_WORD = re.compile(r"\w+(?:[.,'’]\w+)*|[^\w\s]")  # 3.14, 1,000 and don't are words, other marks stand alone
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

Segments = list[str]


def chinese_segments(text: str) -> Segments:
    """Characters, words between them and marks that CMRC 2018's script does not know, in lower case."""
    segments: Segments = []
    rest = ""
    for letter in composed(text).lower().strip():
        if letter in _MARKS:
            continue  # as in the script, this does not end a word
        if _CHINESE.match(letter):
            segments += [*_WORD.findall(rest), letter]
            rest = ""
        else:
            rest += letter
    return segments + _WORD.findall(rest)


def english_segments(text: str) -> Segments:
    """Words in lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", composed(text).lower().translate(_NO_PUNCTUATION)).split()


def chinese_em(answer: str, reference: str) -> float:
    """1 if both are equal but for marks and case."""
    first, second = (
        "".join(c for c in composed(text).lower().strip() if c not in _MARKS) for text in (answer, reference)
    )
    return float(first == second)


def english_em(answer: str, reference: str) -> float:
    """1 if both have the same words in the same order."""
    return float(english_segments(answer) == english_segments(reference))


def chinese_f1(answer: str, reference: str) -> float:
    """F1 over the longest common run of segments."""
    first, second = chinese_segments(answer), chinese_segments(reference)
    shared = SequenceMatcher(None, first, second, autojunk=False).find_longest_match().size
    return _f1(shared, len(first), len(second))


def english_f1(answer: str, reference: str) -> float:
    """F1 over the common words, counted with repetitions."""
    first, second = english_segments(answer), english_segments(reference)
    if not first or not second:
        return float(first == second)
    return _f1((Counter(first) & Counter(second)).total(), len(first), len(second))


def _f1(shared: int, first: int, second: int) -> float:
    return 2 * shared / (first + second) if shared else 0.0


AnswerMetric = Callable[[str, str], float]
_EM: dict[str, AnswerMetric] = {"chinese": chinese_em, "english": english_em}
_F1: dict[str, AnswerMetric] = {"chinese": chinese_f1, "english": english_f1}
_SEGMENTS: dict[str, Callable[[str], Segments]] = {"chinese": chinese_segments, "english": english_segments}


def em_and_f1(
    answers: Sequence[str | None], references: Sequence[Sequence[str]], language: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact match and F1 of each answer, the best over its references.

    Args:
        answers: Predicted answers; None for "no answer", which is right iff there are no references.
        references: Right answers of each question; none if the passage does not answer it.
        language: ``chinese`` or ``english``.

    Returns:
        ``[n]`` each, in [0, 1].
    """

    def best(metric: AnswerMetric) -> NDArray[np.float64]:
        pairs = zip(answers, references, strict=True)
        return np.array(
            [float(a is None and not r) if a is None or not r else max(metric(a, one) for one in r) for a, r in pairs]
        )

    return best(_EM[language]), best(_F1[language])


def answer_metrics(answers: Sequence[str | None], references: Sequence[Sequence[str]], language: str) -> dict[str, Any]:
    """Mean exact match and F1.

    Returns:
        ``em``, ``f1`` and ``examples``; where some questions have no answer, also ``f1_with_answer`` over those that
        have one, and ``right_without_answer``, the share of the others predicted to have none.
    """
    em, f1 = em_and_f1(answers, references, language)
    metrics: dict[str, Any] = {"em": float(em.mean()), "f1": float(f1.mean()), "examples": len(f1)}
    has = np.array([bool(right) for right in references])
    if not has.all():
        metrics |= {"f1_with_answer": float(f1[has].mean())} if has.any() else {}
        metrics["right_without_answer"] = float(f1[~has].mean())
    return metrics


def best_answer_threshold(
    scores: NDArray[np.float64], f1: NDArray[np.float64], unanswerable: NDArray[np.bool_]
) -> float:
    """Score threshold for answering that maximises the mean F1; of equally good ones the middle one.

    Args:
        scores: ``[n]`` scores of the best answers.
        f1: ``[n]`` F1 of those answers.
        unanswerable: ``[n]`` questions without an answer, for which "no answer" counts 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, ranked_f1, no_answer = scores[order], f1[order], unanswerable[order].astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(ranked_f1)]) + np.concatenate([[0.0], np.cumsum(no_answer[::-1])])[::-1]
    allowed = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])  # equal scores are answered alike
    total = np.where(allowed, total, -1.0)
    best = np.flatnonzero(total >= total.max() - 1e-9)
    cut = int(best[len(best) // 2])
    if cut == len(ranked):
        return 0.0
    above = np.nextafter(ranked[cut], np.inf)
    return float(above if cut == 0 else max(above, (ranked[cut - 1] + ranked[cut]) / 2))


def nearest_sentence(question: str, passage: str, language: str) -> str:
    """Baseline of question answering: the sentence that shares most distinct segments with the question.

    Ties: the shortest, then the first.
    """
    segments = _SEGMENTS[language]
    question_segments = set(segments(question))
    sentences = [passage[start:stop] for start, stop in sentence_spans(passage)]
    return min(
        sentences, key=lambda one: (-len(question_segments & set(segments(one))), len(one)), default=passage.strip()
    )
