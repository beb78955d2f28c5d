"""Reading: the words of a passage that answer a question, to the character."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.batches import TextBatches
from nlp_tasks.checkpoint import load_parts, open_task, save_parts
from nlp_tasks.qa.config import ReadingConfig
from nlp_tasks.qa.data import Question, ReadingSet
from nlp_tasks.qa.inputs import Labels, Passages, Windows, read_passages, read_windows, some_empty
from nlp_tasks.qa.metrics import answer_metrics, best_answer_threshold, em_and_f1
from nlp_tasks.qa.model import SpanModel, read, span_loss
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.objectives.auxiliary import weighed

TASK = "reader"


@dataclass(frozen=True)
class Found:
    """What a reader found in one passage."""

    text: str
    """The answer, ``passage[start:stop]``."""

    start: int
    """Its first character in the passage."""

    stop: int
    """One past its last."""

    score: float
    """Probability of start and end, ``p(start) · p(end)`` in the window where it is highest."""


class ReadingLoss(nn.Module):
    """The loss that ``fit`` minimises.

    Args:
        model: Scores starts and ends.
        auxiliary_weight: Share of the loss on the last layer, where the model has one.
    """

    def __init__(self, model: SpanModel, auxiliary_weight: float = 0.8) -> None:
        super().__init__()
        self.model, self.auxiliary_weight = model, auxiliary_weight

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the windows; ``batch["starts"]`` and ``batch["ends"]`` are ``[rows]``."""
        return self.loss_of(self.model.encode(batch), batch)

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """The same, where the encoder has been over the batch."""
        starts, ends = batch["starts"], batch["ends"]
        main, raw = span_loss(self.model.on_output(encoded), starts, ends), self.model.on_last_layer(encoded)
        return main if raw is None else weighed(main, span_loss(raw, starts, ends), self.auxiliary_weight)

    def choices(self, outputs: Tensor) -> Tensor:
        """Logits of the positions, for start and end."""
        return outputs


@dataclass
class Reader:
    """A trained reader.

    Make one with ``load``, or train it with ``pipelines.text.qa.train``::

        reader = Reader.load(Path("runs/text-cmrc2018-read"))
        (found,) = reader.answer(["when?"], [passage])
        if found is not None:
            print(found.text, found.start, found.stop, found.score)
    """

    model: SpanModel
    tokenizer: Tokenizer
    config: ReadingConfig
    language: str
    """How answers are compared: ``chinese`` or ``english``."""

    threshold: float | None = None
    """Score from which on an answer is given; None gives one always."""

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
        """Passages as tokens; those with more than ``longest`` are shortened to their central sentences."""
        return read_passages(self.tokenizer, texts, longest)

    def windows(self, made: ReadingSet) -> Windows:
        """Rows of the questions of a set."""
        about = np.array([question.passage for question in made.questions])
        return self.asked(self.passages(made.passages), [question.text for question in made.questions], about)

    def asked(self, passages: Passages, questions: Sequence[str], about: NDArray[np.int64]) -> Windows:
        """Rows of questions, each about the passage whose number ``about`` gives."""
        return read_windows(self.tokenizer, passages, questions, about, self.config, self.max_len)

    def best(self, windows: Windows) -> list[Found | None]:
        """The likeliest answer to each question, whatever its score; None where the passage has no token."""
        scores, starts, ends = read(self.model, windows, self.config.max_answer)
        found: list[Found | None] = [None] * (int(windows.question[-1]) + 1 if len(scores) else 0)
        # the best row of each question comes first
        for row in np.lexsort((-scores, windows.question)):
            question = windows.question[row]
            if found[question] is None and np.isfinite(scores[row]):
                found[question] = _found(windows, row, starts[row], ends[row], scores[row])
        return found

    def given(self, best: Sequence[Found | None]) -> list[Found | None]:
        """The answers that reach the threshold."""
        least = -np.inf if self.threshold is None else self.threshold
        return [answer if answer is not None and answer.score >= least else None for answer in best]

    def answer(self, questions: Sequence[str], passages: Sequence[str]) -> list[Found | None]:
        """Answer questions, each about its own passage; None where there is no answer.

        Raises:
            InputError: A question or a passage is empty.
        """
        for name, texts in (("question", questions), ("passage", passages)):
            if (empty := next((n for n, text in enumerate(texts) if not text.strip()), None)) is not None:
                raise InputError(f"{name} {empty + 1} is empty.")
        if not questions:
            return []
        return self.given(self.best(self.asked(self.passages(passages), questions, np.arange(len(questions)))))

    def metrics(self, windows: Windows, questions: Sequence[Question], *, tune: bool = False) -> dict[str, Any]:
        """Exact match and F1; see ``answer_metrics``.

        Args:
            windows: Rows of the questions.
            questions: The questions and their answers.
            tune: First choose the threshold so that F1 is best here, where the task has questions without an answer.
        """
        best, references = self.best(windows), [[answer.text for answer in q.answers] for q in questions]
        if tune and self.config.no_answer:
            scores = np.array([0.0 if answer is None else answer.score for answer in best])
            _, f1 = em_and_f1([None if a is None else a.text for a in best], references, self.language)
            self.threshold = best_answer_threshold(scores, f1, np.array([not right for right in references]))
        answers = [None if answer is None else answer.text for answer in self.given(best)]
        return answer_metrics(answers, references, self.language)

    def save(self, folder: Path) -> None:
        """Write the reader to ``folder``, whole or not at all."""
        own = {"config": asdict(self.config), "language": self.language, "threshold": self.threshold}
        save_parts(folder, TASK, self.model, self.model.encoder, self.tokenizer, own)

    @classmethod
    def load(cls, folder: Path) -> "Reader":
        """Open a run folder of ``text qa train``.

        Raises:
            InputError: It holds no reader, or a damaged one.
        """
        folder, about = open_task(folder, TASK)
        try:
            config, language, threshold = ReadingConfig(**about["config"]), about["language"], about["threshold"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
        model = SpanModel(Encoder.load(folder), config.dropout)
        load_parts(model, folder)
        return cls(model.eval(), Tokenizer.load(folder), config, language, threshold)


def _found(windows: Windows, row: int, start: int, end: int, log_p: float) -> Found:
    """The answer that a span of a row is."""
    passage = windows.passages.texts[windows.passage[row]]
    first, stop = windows.characters(row, start, end)
    while stop < len(passage) and unicodedata.combining(passage[stop]):
        stop += 1  # an accent by itself is part of its letter, though tokenizers drop it
    return Found(passage[first:stop], first, stop, float(np.exp(log_p)))


def reading_batches(
    windows: Windows, labels: Labels, made: ReadingSet, share: float, batch_size: int, seed: int
) -> TextBatches:
    """Training batches of windows.

    Args:
        windows: The training rows.
        labels: Their labels.
        made: The questions.
        share: Of the windows without the answer that an epoch shows; see ``ReadingConfig.empty_windows``.
        batch_size: Windows per batch.
        seed: Of order and choice.
    """
    answered = np.array([bool(question.answers) for question in made.questions])
    choose = None if share == 1 else some_empty(windows, labels, answered, share)
    values = {"starts": labels.starts, "ends": labels.ends}
    return TextBatches(windows.inputs, values, batch_size=batch_size, seed=seed, choose=choose)
