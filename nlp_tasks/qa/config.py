"""Settings of extractive and open-domain question answering. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nlp_tasks.config import check_encoder
from nlp_tasks.encodings import check_encoding
from nlp_tasks.fine_tuning import FineTuningConfig, settle_monitor
from nlp_tasks.normalisation import ChineseCharacters
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

_TRAIN = TrainConfig(epochs=5, batch_size=32, schedule=ScheduleConfig(name="linear"), patience=2, monitor="f1")

MONITORS = ("f1", "em")
"""Metrics that pick the best epoch."""


@dataclass(frozen=True, kw_only=True)
class QuestionFilesConfig:
    """Files of questions and passages and their format."""

    train: Path | None = None
    """File of training questions."""

    validation: Path | None = None
    """File of validation questions, which pick epoch and threshold; None holds out ``validation_share``."""

    test: Path | None = None
    """File of test questions; evaluated once, after training."""

    validation_share: float = 0.1
    """Share of the training passages that is held out at random, questions and all, where there is no validation
    file."""

    format: Literal["auto", "squad", "jsonl", "parquet"] = "auto"
    """squad: one JSON object of articles, paragraphs and questions, as SQuAD 1.1 and 2.0 and CMRC 2018 come; jsonl: one
    question a line with the keys `question`, `context` and `answers`; parquet: columns of these names; ``auto`` goes by
    the ending, behind which .gz or .bz2 may stand."""

    encoding: str = "utf-8"
    """Encoding of text files, such as gb18030 or latin-1."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable questions: stop with the first, or drop and count them."""

    def __post_init__(self) -> None:
        check_encoding(self.encoding, "data.encoding")
        if not 0 < self.validation_share < 1:
            raise InputError(f"data.validation_share is {self.validation_share}; it must lie between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class NewQuestionsConfig:
    """Format of a file that the model was not trained on."""

    format: Literal["auto", "squad", "jsonl", "parquet"] = "auto"
    """As in `train`."""

    encoding: str = "utf-8"
    """As in `train`."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable questions: stop with the first, or drop and count them."""

    def __post_init__(self) -> None:
        check_encoding(self.encoding, "read.encoding")


@dataclass(frozen=True, kw_only=True)
class QAConfig:
    """Windows over passages, answers, and how answers are compared."""

    max_len: int | None = None
    """Tokens read at once: question, window and special ones; None takes the encoder's max_len."""

    overlap: float = 0.5
    """Overlap of neighbouring windows as a share of a window, in [0, 1); the doc stride is 1 − overlap."""

    max_question: int = 64
    """Longest question in tokens, at most half of the row; the rest is cut off and counted."""

    max_answer: int = 64
    """Longest answer in tokens."""

    empty_windows: float = 1.0
    """Share of the training windows without their answer that an epoch reads, sampled every epoch; in [0, 1]. Fewer
    make an epoch shorter. Windows of questions that have no answer are all read."""

    no_answer: bool = False
    """A question may have no answer in its passage; the threshold on an answer's score is tuned on validation."""

    language: Literal["auto", "chinese", "english"] = "auto"
    """Comparison of answers: by characters, as CMRC 2018, or by words, as SQuAD; ``auto`` goes by the training
    passages."""

    dropout: float = 0.1
    """Probability in [0, 1) on the states, before the output layer."""

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
class QATrainConfig(FineTuningConfig):
    """Settings of a question answerer's training."""

    task: QAConfig = field(default_factory=QAConfig)
    """Windows, length of answers, questions without an answer."""

    train: TrainConfig = _TRAIN
    """Training loop; a batch is of windows. The epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.encoder, pairs=True)
        settle_monitor(self, MONITORS)


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """Retriever of open-domain question answering: BM25 retrieves paragraphs, TextRank shortens long ones."""

    paragraphs: int = 5
    """Paragraphs to retrieve for each question."""

    longest: int = 1024
    """Longest paragraph in tokens; of a longer one, the most central sentences are read, up to as many tokens."""

    bm25_weight: float = 1.0
    """Exponent of a paragraph's BM25 score, as a share of the best one's, in the score of its answer; 0: no effect."""

    words: Literal["auto", "jieba", "words"] = "auto"
    """Terms of BM25: words as jieba cuts Chinese text, or runs of letters and digits in small letters; ``auto`` goes by
    the paragraphs."""

    chinese: ChineseCharacters = "as_written"
    """``simplified`` reads Traditional Chinese characters of paragraphs and questions as Simplified ones in search, by
    OpenCC's table (extra `text`); answers are in the paragraphs' own."""

    k1: float = 1.5
    """BM25: saturation of the term frequency."""

    b: float = 0.75
    """BM25: length normalisation, in [0, 1]."""

    def __post_init__(self) -> None:
        if self.paragraphs < 1 or self.longest < 8:
            raise InputError(
                f"retrieval.paragraphs is {self.paragraphs} (at least 1), longest {self.longest} (at least 8)."
            )
        if self.bm25_weight < 0 or self.k1 < 0 or not 0 <= self.b <= 1:
            raise InputError(
                f"retrieval.bm25_weight is {self.bm25_weight}, k1 {self.k1} (neither negative), b {self.b} (in [0, 1])."
            )
