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

from nlp_tasks.recall.sentences import sentence_spans

_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CHINESE = re.compile(r"[\u4e00-\u9fa5]")
_WORD = re.compile(r"\w+(?:[.,'’]\w+)*|[^\w\s]")  # 3.14, 1,000 and don't are words, other marks stand alone
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

Segments = list[str]


def chinese_segments(text: str) -> Segments:
    """Characters, words between them and marks that CMRC 2018's script does not know, in small letters."""
    found: Segments = []
    rest = ""
    for letter in text.lower().strip():
        if letter in _MARKS:
            continue  # as in the script, this does not end a word
        if _CHINESE.match(letter):
            found += [*_WORD.findall(rest), letter]
            rest = ""
        else:
            rest += letter
    return found + _WORD.findall(rest)


def english_segments(text: str) -> Segments:
    """Words in small letters, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def chinese_em(answer: str, reference: str) -> float:
    """1 where both are the same but for marks and capitals."""
    one, other = ("".join(c for c in text.lower().strip() if c not in _MARKS) for text in (answer, reference))
    return float(one == other)


def english_em(answer: str, reference: str) -> float:
    """1 where both have the same words in the same order."""
    return float(english_segments(answer) == english_segments(reference))


def chinese_f1(answer: str, reference: str) -> float:
    """F1 over the longest run of segments in both."""
    one, other = chinese_segments(answer), chinese_segments(reference)
    shared = SequenceMatcher(None, one, other, autojunk=False).find_longest_match().size
    return _f1(shared, len(one), len(other))


def english_f1(answer: str, reference: str) -> float:
    """F1 over the words in both, each as often as both have it."""
    one, other = english_segments(answer), english_segments(reference)
    if not one or not other:
        return float(one == other)
    return _f1((Counter(one) & Counter(other)).total(), len(one), len(other))


def _f1(shared: int, one: int, other: int) -> float:
    return 2 * shared / (one + other) if shared else 0.0


Measure = Callable[[str, str], float]
_EM: dict[str, Measure] = {"chinese": chinese_em, "english": english_em}
_F1: dict[str, Measure] = {"chinese": chinese_f1, "english": english_f1}
_SEGMENTS: dict[str, Callable[[str], Segments]] = {"chinese": chinese_segments, "english": english_segments}


def em_and_f1(
    answers: Sequence[str | None], references: Sequence[Sequence[str]], language: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact match and F1 of each answer, with the reference that is best for it.

    Args:
        answers: What was answered; None for "no answer", which is right where there are no references, and there alone.
        references: The right answers of each question; none where the passage does not answer it.
        language: ``chinese`` or ``english``.

    Returns:
        ``[n]`` each, in [0, 1].
    """

    def best(measure: Measure) -> NDArray[np.float64]:
        pairs = zip(answers, references, strict=True)
        return np.array(
            [float(a is None and not r) if a is None or not r else max(measure(a, one) for one in r) for a, r in pairs]
        )

    return best(_EM[language]), best(_F1[language])


def answer_metrics(answers: Sequence[str | None], references: Sequence[Sequence[str]], language: str) -> dict[str, Any]:
    """Means of ``em_and_f1``.

    Returns:
        ``em``, ``f1`` and ``examples``; where some questions have no answer, also ``f1_with_answer`` over those that
        have one, and ``right_without_answer``, the share of the others that were given none.
    """
    em, f1 = em_and_f1(answers, references, language)
    found: dict[str, Any] = {"em": float(em.mean()), "f1": float(f1.mean()), "examples": len(f1)}
    has = np.array([bool(right) for right in references])
    if not has.all():
        found |= {"f1_with_answer": float(f1[has].mean())} if has.any() else {}
        found["right_without_answer"] = float(f1[~has].mean())
    return found


def best_answer_threshold(
    scores: NDArray[np.float64], f1: NDArray[np.float64], unanswerable: NDArray[np.bool_]
) -> float:
    """The score from which on to answer, such that the mean F1 is best; of equally good ones the middle one.

    Args:
        scores: ``[n]`` of the best answer to each question.
        f1: ``[n]`` of that answer, were it given.
        unanswerable: ``[n]`` questions without an answer, for which silence counts 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, said, silent = scores[order], f1[order], unanswerable[order].astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(said)]) + np.concatenate([[0.0], np.cumsum(silent[::-1])])[::-1]
    allowed = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])  # equal scores are answered alike
    total = np.where(allowed, total, -1.0)
    best = np.flatnonzero(total >= total.max() - 1e-9)
    cut = int(best[len(best) // 2])
    if cut == len(ranked):
        return 0.0
    above = np.nextafter(ranked[cut], np.inf)
    return float(above if cut == 0 else max(above, (ranked[cut - 1] + ranked[cut]) / 2))


def nearest_sentence(question: str, passage: str, language: str) -> str:
    """The sentence of a passage that shares most different segments with a question: what a reader has to beat.

    Of several, the shortest is taken, and then the first.
    """
    segments, asked = _SEGMENTS[language], set(_SEGMENTS[language](question))
    sentences = [passage[start:stop] for start, stop in sentence_spans(passage)]
    return min(sentences, key=lambda one: (-len(asked & set(segments(one))), len(one)), default=passage.strip())
