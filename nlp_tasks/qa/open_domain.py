"""An answer among many paragraphs: BM25 picks some, TextRank shortens long ones, the reader reads.

Scores of paragraph and answer go together as in BERTserini (https://aclanthology.org/N19-4013), as a product of powers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_tasks.qa.config import ChainConfig
from nlp_tasks.qa.question_answerer import Found, Reader
from nlp_tasks.recall.bm25 import BM25
from nlp_tasks.recall.words import Cut, chinese_words, plain_words
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.errors import InputError

_SAMPLE = 2000  # paragraphs looked at to tell whether they are Chinese


@dataclass(frozen=True)
class FoundAmong:
    """An answer and where it was found."""

    paragraph: int
    """Number of the paragraph."""

    answer: Found
    """The answer; its characters are those of the whole paragraph."""

    bm25: float
    """Score by which the paragraph was picked."""

    score: float
    """``answer.score · (bm25 / best bm25) ^ bm25_weight``, in [0, 1]."""


class Chain:
    """BM25, TextRank and a reader over paragraphs: ``Chain(reader, paragraphs).answer(["who?"])``.

    Args:
        reader: Reads the paragraphs that are picked.
        paragraphs: Texts to search in.
        config: The settings.
        index: Folder that keeps the index of the paragraphs, see ``BM25.kept``; None keeps none.

    Raises:
        InputError: There is no paragraph, one is empty, or jieba or bm25s is not installed; or see ``BM25.kept``.
    """

    def __init__(
        self,
        reader: Reader,
        paragraphs: Sequence[str],
        config: ChainConfig | None = None,
        index: Path | None = None,
    ) -> None:
        self.reader, self.paragraphs, self.config = reader, list(paragraphs), config or ChainConfig()
        if empty := [n for n, text in enumerate(self.paragraphs, 1) if not text.strip()]:
            raise InputError(f"paragraph {empty[0]} is empty; {len(empty):,} such paragraphs in all.")
        words, numbers = self.config.words, {"k1": self.config.k1, "b": self.config.b}
        cut = words_of(self.paragraphs, words)
        if index is None:
            self.bm25 = BM25(self.paragraphs, cut, **numbers)
        else:
            self.bm25 = BM25.kept(index, self.paragraphs, words, cut, **numbers)

    def answer(self, questions: Sequence[str], k: int = 1) -> tuple[list[list[FoundAmong]], dict[str, int]]:
        """Answer questions.

        Args:
            questions: The questions.
            k: Answers to each at most, from different paragraphs.

        Returns:
            Answers to each question, best first, none where no paragraph shares a word with it or the reader finds no
            answer; and what was counted on the way.
        """
        picked = self.bm25.search(questions, self.config.paragraphs)
        asked = np.repeat(np.arange(len(questions)), [len(rows) for rows, _ in picked])
        found: list[list[FoundAmong]] = [[] for _ in questions]
        counts = {"questions_that_share_no_word": sum(not len(rows) for rows, _ in picked)}
        if len(asked):
            read, about = np.unique(np.concatenate([rows for rows, _ in picked]), return_inverse=True)
            passages = self.reader.passages([self.paragraphs[n] for n in read.tolist()], self.config.longest)
            windows = self.reader.asked(passages, [questions[n] for n in asked.tolist()], about)
            counts |= windows.counts
            best = self.reader.given(self.reader.best(windows))
            bm25 = np.concatenate([scores for _, scores in picked])
            shares = np.concatenate([scores / scores[0] for _, scores in picked if len(scores)])
            for n, answer in enumerate(best):
                if answer is not None:
                    score = answer.score * float(shares[n]) ** self.config.bm25_weight
                    found[asked[n]].append(FoundAmong(int(read[about[n]]), answer, float(bm25[n]), score))
        ranked = [sorted(some, key=lambda one: -one.score)[:k] for some in found]
        return ranked, {name: n for name, n in counts.items() if n}


def words_of(paragraphs: Sequence[str], kind: str) -> Cut:
    """What cuts paragraphs and questions into words; see ``ChainConfig.words``."""
    if kind == "auto":
        kind = "jieba" if mostly_chinese(paragraphs[:_SAMPLE]) else "words"
    return chinese_words() if kind == "jieba" else plain_words


def recall_at(bm25: BM25, questions: Sequence[str], right: Sequence[int], ks: Sequence[int]) -> dict[str, Any]:
    """Share of questions whose own paragraph BM25 puts among the first k.

    Args:
        bm25: The paragraphs.
        questions: The questions.
        right: Number of the paragraph that each is about.
        ks: Lengths of the lists.

    Returns:
        ``recall@k`` for each k.
    """
    ranks = []
    for (rows, _), own in zip(bm25.search(questions, max(ks)), right, strict=True):
        place = np.flatnonzero(rows == own)
        ranks.append(int(place[0]) if len(place) else max(ks))
    return {f"recall@{k}": float((np.array(ranks) < k).mean()) for k in ks}
