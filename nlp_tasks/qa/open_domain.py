"""Open-domain question answering: BM25 retrieves paragraphs, TextRank shortens long ones, a question answerer reads.

Scores of paragraph and answer are multiplied as in BERTserini (https://aclanthology.org/N19-4013), as powers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_tasks.examples import text_list
from nlp_tasks.qa.config import RetrievalConfig
from nlp_tasks.qa.question_answerer import Answer, QuestionAnswerer
from nlp_tasks.recall.bm25 import BM25
from nlp_tasks.recall.words import Cut, chinese_words, plain_words, simplified_words
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.errors import InputError

_SAMPLE = 2000  # paragraphs looked at to tell whether they are Chinese


@dataclass(frozen=True)
class RetrievedAnswer:
    """An answer and its paragraph."""

    paragraph: int
    """Number of the paragraph."""

    answer: Answer
    """The answer; its characters are those of the full paragraph."""

    bm25: float
    """Score of the paragraph."""

    score: float
    """``answer.score · (bm25 / best bm25) ^ bm25_weight``, in [0, 1]."""


class OpenDomainQA:
    """BM25, TextRank and a question answerer over paragraphs: ``OpenDomainQA(answerer, paragraphs).predict(["who?"])``.

    Args:
        answerer: Reads the retrieved paragraphs.
        paragraphs: Texts to search in.
        config: The settings.
        index: Folder that stores the index of the paragraphs, see ``BM25.stored``; None stores none.

    Raises:
        InputError: There is no paragraph, one is empty, or jieba, bm25s or OpenCC is not installed; or see
            ``BM25.stored``.
    """

    def __init__(
        self,
        answerer: QuestionAnswerer,
        paragraphs: Sequence[str],
        config: RetrievalConfig | None = None,
        index: Path | None = None,
    ) -> None:
        self.answerer, self.config = answerer, config or RetrievalConfig()
        self.paragraphs = text_list(paragraphs, "paragraphs")
        if empty := [n for n, text in enumerate(self.paragraphs, 1) if not text.strip()]:
            raise InputError(f"paragraph {empty[0]} is empty; {len(empty):,} such paragraphs in all.")
        words, numbers = str(self.config.words), {"k1": self.config.k1, "b": self.config.b}
        cut = words_of(self.paragraphs, words)
        if self.config.chinese == "simplified":
            words, cut = f"{words}, simplified", simplified_words(cut)
        if index is None:
            self.bm25 = BM25(self.paragraphs, cut, **numbers)
        else:
            self.bm25 = BM25.stored(index, self.paragraphs, words, cut, **numbers)

    def predict(self, questions: Sequence[str], k: int = 1) -> tuple[list[list[RetrievedAnswer]], dict[str, int]]:
        """Answer questions.

        Args:
            questions: The questions.
            k: Answers to each at most, from different paragraphs.

        Returns:
            Answers to each question, best first, none where no paragraph shares a word with it or holds an answer; and
            counts.

        Raises:
            InputError: Not a list of texts, or ``k`` is below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1.")
        questions = text_list(questions, "questions")
        retrieved = self.bm25.search(questions, self.config.paragraphs)
        question = np.repeat(np.arange(len(questions)), [len(rows) for rows, _ in retrieved])
        answers: list[list[RetrievedAnswer]] = [[] for _ in questions]
        counts = {"questions_that_share_no_word": sum(not len(rows) for rows, _ in retrieved)}
        if len(question):
            distinct, about = np.unique(np.concatenate([rows for rows, _ in retrieved]), return_inverse=True)
            passages = self.answerer.passages([self.paragraphs[n] for n in distinct.tolist()], self.config.longest)
            windows = self.answerer.windows_of(passages, [questions[n] for n in question.tolist()], about)
            counts |= windows.counts
            best = self.answerer.accepted(self.answerer.best_answers(windows))
            bm25 = np.concatenate([scores for _, scores in retrieved])
            shares = np.concatenate([scores / scores[0] for _, scores in retrieved if len(scores)])
            for n, answer in enumerate(best):
                if answer is not None:
                    score = answer.score * float(shares[n]) ** self.config.bm25_weight
                    paragraph = int(distinct[about[n]])
                    answers[question[n]].append(RetrievedAnswer(paragraph, answer, float(bm25[n]), score))
        ranked = [sorted(some, key=lambda answer: -answer.score)[:k] for some in answers]
        return ranked, {name: n for name, n in counts.items() if n}


def words_of(paragraphs: Sequence[str], kind: str) -> Cut:
    """Function that cuts paragraphs and questions into words; see ``RetrievalConfig.words``."""
    if kind == "auto":
        kind = "jieba" if mostly_chinese(paragraphs[:_SAMPLE]) else "words"
    return chinese_words() if kind == "jieba" else plain_words


def recall_at(bm25: BM25, questions: Sequence[str], right: Sequence[int], ks: Sequence[int]) -> dict[str, Any]:
    """Recall@k of BM25: share of questions whose paragraph is among the first k.

    Args:
        bm25: Index of the paragraphs.
        questions: The questions.
        right: Number of each question's paragraph.
        ks: Cut-offs.

    Returns:
        ``recall@k`` for each k.
    """
    ranks = []
    for (rows, _), target in zip(bm25.search(questions, max(ks)), right, strict=True):
        position = np.flatnonzero(rows == target)
        ranks.append(int(position[0]) if len(position) else max(ks))
    return {f"recall@{k}": float((np.array(ranks) < k).mean()) for k in ks}
