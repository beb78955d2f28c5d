"""Extractive question answering: the span of a passage that answers a question, to the character."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nlp_tasks.checkpoint import load_parts, open_task, save_parts
from nlp_tasks.distilled import distilled
from nlp_tasks.encoders import make_text_encoder, start_contents
from nlp_tasks.examples import check_lengths, text_list
from nlp_tasks.export.exportable import Target, export
from nlp_tasks.export.heads import span_classifier
from nlp_tasks.qa.config import QAConfig, QATrainConfig
from nlp_tasks.qa.data import QuestionSet, hold_out_passages, question_set, unusable
from nlp_tasks.qa.inputs import Labels, Passages, Windows, label, read_passages, read_windows
from nlp_tasks.qa.metrics import answer_metrics, best_answer_threshold, em_and_f1
from nlp_tasks.qa.model import SpanLoss, SpanModel, read
from nlp_tasks.qa.training import usable_parts, window_batches
from nlp_tasks.splits import contents, parts_of
from nlp_tasks.tokenization import Tokenizer, mostly_chinese
from nlp_tasks.training import TaskTraining, nonempty, train_task
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config

TASK = "question_answerer"

Lists = tuple[Iterable[str], Iterable[str], Iterable[Any]]
"""Questions, their passages, their answers."""


@dataclass(frozen=True)
class Answer:
    """Predicted answer."""

    text: str
    """``passage[start:stop]``."""

    start: int
    """First character in the passage."""

    stop: int
    """One past the last character."""

    score: float
    """Probability of start and end, ``p(start) · p(end)`` in the window where it is highest."""


@dataclass
class QuestionAnswerer:
    """Extractive question answerer.

    ::

        answerer = QuestionAnswerer.train(questions, passages, answers)
        (answer,) = answerer.predict(["when?"], [passage])
        if answer is not None:
            print(answer.text, answer.start, answer.stop, answer.score)
    """

    model: SpanModel
    tokenizer: Tokenizer
    config: QAConfig
    language: str
    """Comparison of answers: ``chinese`` or ``english``."""

    threshold: float | None = None
    """Score from which on an answer is given; None: always."""

    results: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Metrics and counts of the training, as in ``metrics.json``; empty for a loaded question answerer."""

    @classmethod
    def train(
        cls,
        questions: Iterable[str],
        passages: Iterable[str],
        answers: Iterable[Any],
        *,
        validation: Lists | float | None = None,
        test: Lists | None = None,
        out: Path | None = None,
        config: QATrainConfig | None = None,
        allow_parts: bool = False,
        **settings: Any,
    ) -> "QuestionAnswerer":
        """Train a question answerer.

        Args:
            questions: Training questions.
            passages: Passage of each.
            answers: Answer of each, a text that occurs in the passage; a list of texts that all count as right; or,
                with ``task={"no_answer": True}``, None.
            validation: Questions, passages and answers that pick epoch and threshold, or the share of the training
                passages to hold out for it; None: 0.1.
            test: Questions, passages and answers; evaluated once, after training.
            out: Run folder, as of `text qa train`; a stopped run there is resumed. None: a temporary one.
            config: All settings.
            allow_parts: Import parts from outside (``module:Class``) that the run of ``init`` names; their code runs.
            settings: Or single ones, as in a recipe: ``train={"epochs": 3}, task={"max_answer": 10}``.

        Raises:
            InputError: Data or settings that do not fit.
        """
        config = make_config(QATrainConfig, config, settings)
        train = question_set(questions, passages, answers, "training")
        parts = parts_of(train, validation, test, question_set, config.train.seed, hold_out_passages)
        with allowing_parts(allow_parts):
            return train_question_answerer(parts, config, out)

    @classmethod
    def load(cls, folder: Path, *, allow_parts: bool = False) -> "QuestionAnswerer":
        """Load a run folder of a question answerer, or a folder that ``save`` wrote.

        Args:
            folder: The folder.
            allow_parts: Import parts from outside (``module:Class``) that saved settings name; their code runs.

        Raises:
            InputError: It holds no question answerer, or a damaged one.
        """
        folder, about = open_task(folder, TASK)
        try:
            config, language, threshold = QAConfig(**about["config"]), about["language"], about["threshold"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
        model = SpanModel(Encoder.load(folder, allow_parts=allow_parts), config.dropout)
        load_parts(model, folder)
        return cls(model.eval(), Tokenizer.load(folder), config, language, threshold)

    def save(self, folder: Path) -> None:
        """Write the question answerer to ``folder``, all or nothing."""
        about = {"config": asdict(self.config), "language": self.language, "threshold": self.threshold}
        save_parts(Path(folder), TASK, self.model, self.model.encoder, self.tokenizer, about)

    def export(self, folder: Path | str, to: Target = "transformers") -> Path:
        """Write a folder that transformers, sentence-transformers or onnxruntime opens, with the same outputs.

        Longer texts than ``model_max_length`` are cut to their beginning there, whatever ``length`` does here.

        Args:
            folder: Folder to write; it must not be there, or be empty.
            to: ``transformers`` or ``onnx``.

        Raises:
            InputError: The other side has no such model; the message names every reason.
        """
        return export(span_classifier(self.model, self.tokenizer, self.max_len), folder, to)

    def predict(self, questions: Iterable[str], passages: Iterable[str]) -> list[Answer | None]:
        """Answer of each question in its own passage; None where there is none.

        Raises:
            InputError: Lists of different lengths, or an empty question or passage.
        """
        questions, passages = text_list(questions, "questions"), text_list(passages, "passages")
        check_lengths({"questions": questions, "passages": passages})
        for name, texts in (("questions", questions), ("passages", passages)):
            if (empty := next((n for n, text in enumerate(texts) if not text.strip()), None)) is not None:
                raise InputError(f"{name}[{empty}] is empty.")
        if not questions:
            return []
        windows = self.windows_of(self.passages(passages), questions, np.arange(len(questions)))
        return self.accepted(self.best_answers(windows))

    def evaluate(self, questions: Iterable[str], passages: Iterable[str], answers: Iterable[Any]) -> dict[str, Any]:
        """Exact match and F1 on questions with answers; see ``answer_metrics``.

        Raises:
            InputError: Lists of different lengths, empty ones, or a question without an answer that needs one.
        """
        examples = question_set(questions, passages, answers, "evaluation")
        examples = examples.without(unusable(examples, train=False, no_answer=self.config.no_answer))
        return self.metrics(self.windows(examples), examples)

    @property
    def max_len(self) -> int:
        """Longest row in tokens.

        Raises:
            InputError: More than the encoder reads.
        """
        most = self.model.encoder.config.max_len
        if self.config.max_len is not None and self.config.max_len > most:
            raise InputError(f"task.max_len is {self.config.max_len}; this encoder reads {most} tokens at most.")
        return self.config.max_len or most

    def passages(self, texts: Sequence[str], longest: int | None = None) -> Passages:
        """Tokens of passages; those with more than ``longest`` are shortened to their central sentences."""
        return read_passages(self.tokenizer, texts, longest)

    def windows(self, examples: QuestionSet) -> Windows:
        """Rows of a set of questions."""
        return self.windows_of(self.passages(examples.passages), examples.texts, examples.about)

    def windows_of(self, passages: Passages, questions: Sequence[str], about: NDArray[np.int64]) -> Windows:
        """Rows of questions; ``about[i]`` is the number of question i's passage."""
        return read_windows(self.tokenizer, passages, questions, about, self.config, self.max_len)

    def best_answers(self, windows: Windows) -> list[Answer | None]:
        """Most probable answer of each question, whatever its score; None where the passage has no token."""
        scores, starts, ends = read(self.model, windows, self.config.max_answer)
        answers: list[Answer | None] = [None] * (int(windows.question[-1]) + 1 if len(scores) else 0)
        # the best row of each question comes first
        for row in np.lexsort((-scores, windows.question)):
            question = windows.question[row]
            if answers[question] is None and np.isfinite(scores[row]):
                answers[question] = _answer(windows, row, starts[row], ends[row], scores[row])
        return answers

    def accepted(self, best: Sequence[Answer | None]) -> list[Answer | None]:
        """Answers that reach the threshold; None for the others."""
        least = -np.inf if self.threshold is None else self.threshold
        return [answer if answer is not None and answer.score >= least else None for answer in best]

    def metrics(self, windows: Windows, examples: QuestionSet, *, tune: bool = False) -> dict[str, Any]:
        """Exact match and F1; see ``answer_metrics``.

        Args:
            windows: Rows of the questions.
            examples: The questions and their answers.
            tune: First tune the threshold for the best F1, where the task has questions without an answer.
        """
        best, references = self.best_answers(windows), examples.references
        if tune and self.config.no_answer:
            scores = np.array([0.0 if answer is None else answer.score for answer in best])
            _, f1 = em_and_f1([None if a is None else a.text for a in best], references, self.language)
            self.threshold = best_answer_threshold(scores, f1, np.array([not right for right in references]))
        answers = [None if answer is None else answer.text for answer in self.accepted(best)]
        return answer_metrics(answers, references, self.language)


def _answer(windows: Windows, row: int, start: int, end: int, log_p: float) -> Answer:
    """Answer of a span of a row."""
    passage = windows.passages.texts[windows.passage[row]]
    first, stop = windows.characters(row, start, end)
    while stop < len(passage) and unicodedata.combining(passage[stop]):
        stop += 1  # an accent by itself is part of its letter, though tokenizers drop it
    return Answer(passage[first:stop], first, stop, float(np.exp(log_p)))


def train_question_answerer(
    parts: Mapping[str, QuestionSet], config: QATrainConfig, out: Path | None = None
) -> QuestionAnswerer:
    """Train on sets of questions; see ``QuestionAnswerer.train``.

    Args:
        parts: ``train``, ``validation`` and, where there is one, ``test``.
        config: Settings; ``config.toml`` of the run.
        out: Run folder; None: a temporary one.

    Raises:
        InputError: Data or settings that do not fit.
    """
    answerer, training = build_training(parts, config)
    answerer.results = train_task(training, config, out)
    return answerer


def build_training(parts: Mapping[str, QuestionSet], config: QATrainConfig) -> tuple[QuestionAnswerer, TaskTraining]:
    """Build an untrained question answerer and its training; see ``train_question_answerer``.

    Raises:
        InputError: Data or settings that do not fit.
    """
    task, parts = config.task, usable_parts(parts, config.task)
    passages, auxiliary = parts["train"].passages, config.train.auxiliary.weight
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = make_text_encoder(
        config.init, config.encoder, config.tokenizer, [*passages, *parts["train"].texts]
    )
    language = task.language if task.language != "auto" else "chinese" if mostly_chinese(passages) else "english"
    model = SpanModel(encoder, task.dropout, auxiliary=auxiliary > 0)
    answerer = QuestionAnswerer(model, tokenizer, task, language)
    parts["train"], train_windows, labels = _labelled(answerer, parts["train"])
    windows = {name: answerer.windows(part) for name, part in parts.items() if name != "train"}

    def record() -> dict[str, Any]:
        rows = windows | {"train": train_windows}
        counts = {name: {**part.left_out, **part.counts, **rows[name].counts} for name, part in parts.items()}
        counts["train"] |= labels.counts
        examples = {name: len(part) for name, part in parts.items()}
        about = {"language": language, "threshold": answerer.threshold}
        return about | {"examples": examples, "counted": nonempty(counts)}

    size, seed = config.train.batch_size, config.train.seed
    batches = window_batches(train_windows, labels, parts["train"], task.empty_windows, batch_size=size, seed=seed)
    teacher = None if config.teacher is None else QuestionAnswerer.load(config.teacher)
    training = TaskTraining(
        kind=TASK,
        loss=distilled(SpanLoss(model, auxiliary), answerer, teacher, config.distillation),
        model=model,
        batches=batches,
        sources=contents(parts.values()) | start_contents(config.init, config.tokenizer, config.teacher),
        splits=list(windows),
        evaluate=lambda split: answerer.metrics(windows[split], parts[split], tune=split == "validation"),
        record=record,
        save=answerer.save,
    )
    return answerer, training


def _labelled(answerer: QuestionAnswerer, examples: QuestionSet) -> tuple[QuestionSet, Windows, Labels]:
    """Windows and labels of the training questions; those without a label are refused, or dropped and counted."""
    windows = answerer.windows(examples)
    labels = label(windows, examples.questions, answerer.config)
    if not any(labels.reasons):
        return examples, windows, labels
    examples = examples.without(labels.reasons)
    windows = answerer.windows(examples)
    return examples, windows, label(windows, examples.questions, answerer.config)
