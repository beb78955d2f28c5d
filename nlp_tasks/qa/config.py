"""Settings of reading: questions, passages, and how an answer is found among many paragraphs. Instant to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ReadingFilesConfig:
    """Which reading sets are read, and how."""

    train: Path | None = None
    """File of training questions."""

    validation: Path | None = None
    """File of validation questions, which choose epoch and threshold; None holds out ``validation_share``."""

    test: Path | None = None
    """File of test questions; looked at once, after training."""

    validation_share: float = 0.1
    """Share of the training passages that is held out at random, questions and all, where there is no validation
    file."""

    format: Literal["auto", "squad", "jsonl"] = "auto"
    """squad: one JSON object of articles, paragraphs and questions, as SQuAD 1.1 and 2.0 and CMRC 2018 come; jsonl: one
    question a line with the keys `question`, `context` and `answers`; ``auto`` goes by the ending."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a question that cannot be used does: stop with its place, or drop out and be counted."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise InputError(f"data.validation_share is {self.validation_share}; it must lie between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class NewSetConfig:
    """How a reading set is read that the model was not trained on."""

    format: Literal["auto", "squad", "jsonl"] = "auto"
    """As in `train`."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a question that cannot be used does: stop with its place, or drop out and be counted."""


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """How passages are read, and what counts as a right answer."""

    max_len: int | None = None
    """Tokens read at once: question, window and special ones; None takes the encoder's max_len."""

    overlap: float = 0.5
    """Share of a window that the next one reads again, in [0, 1)."""

    max_question: int = 64
    """Tokens of a question that are read, at most half of the room; the rest is left out and counted."""

    max_answer: int = 64
    """Longest answer in tokens."""

    empty_windows: float = 1.0
    """Training windows without the answer that an epoch shows, as a share of all, drawn anew every epoch; in [0, 1].
    Fewer make an epoch shorter. Windows of questions that have no answer are all shown."""

    no_answer: bool = False
    """A question may have no answer in its passage; the score from which on one is given is chosen on validation."""

    language: Literal["auto", "chinese", "english"] = "auto"
    """How answers are compared: by characters, as CMRC 2018 does, or by words, as SQuAD does; ``auto`` goes by the
    training passages."""

    dropout: float = 0.1
    """Probability in [0, 1) on the states, before start and end are scored."""

    def __post_init__(self) -> None:
        if self.max_len is not None and self.max_len < 8:
            raise InputError(f"task.max_len is {self.max_len}; it must be at least 8.")
        if not 0 <= self.overlap < 1 or not 0 <= self.dropout < 1:
            raise InputError(f"task.overlap is {self.overlap}, dropout {self.dropout}; both must lie in [0, 1).")
        if self.max_question < 1 or self.max_answer < 1:
            raise InputError(
                f"task.max_question is {self.max_question}, max_answer {self.max_answer}; both must be at least 1."
            )
        if not 0 <= self.empty_windows <= 1:
            raise InputError(f"task.empty_windows is {self.empty_windows}; it must lie in [0, 1].")


@dataclass(frozen=True, kw_only=True)
class ChainConfig:
    """How an answer is found among many paragraphs: BM25 picks some, TextRank shortens long ones, the reader reads."""

    paragraphs: int = 5
    """Paragraphs that are read for each question."""

    longest: int = 1024
    """Tokens of a paragraph from which on only its most central sentences are read, up to as many tokens."""

    bm25_weight: float = 1.0
    """Power to which a paragraph's BM25 score, as a share of the best paragraph's, goes into the score of its answer; 0
    leaves it out."""

    words: Literal["auto", "jieba", "words"] = "auto"
    """What BM25 counts: the words of Chinese text as jieba cuts it, or runs of letters and digits in small letters;
    ``auto`` goes by the paragraphs."""

    k1: float = 1.5
    """BM25: how slowly more occurrences of a word stop counting."""

    b: float = 0.75
    """BM25: how much a paragraph's length counts against it, in [0, 1]."""

    def __post_init__(self) -> None:
        if self.paragraphs < 1 or self.longest < 8:
            raise InputError(
                f"chain.paragraphs is {self.paragraphs} (at least 1), chain.longest {self.longest} (at least 8)."
            )
        if self.bm25_weight < 0 or self.k1 < 0 or not 0 <= self.b <= 1:
            raise InputError(
                f"chain.bm25_weight is {self.bm25_weight}, chain.k1 {self.k1} (neither negative), chain.b {self.b} (in "
                "[0, 1])."
            )
