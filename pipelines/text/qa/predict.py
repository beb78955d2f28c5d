"""Answer new questions about their passages."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.qa.config import NewQuestionsConfig
from pipelines.support.outputs import check_out
from pipelines.text.answers import check_one_source
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.qa.data import QuestionSet
    from nlp_tasks.qa.question_answerer import Answer


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write answers to questions about passages, with their characters in the passage."""

    run: Path
    """Run folder of `text qa train`."""

    questions: tuple[str, ...] = ()
    """Questions about one passage, each in quotes."""

    passage: str | None = None
    """The passage that they are about, in quotes."""

    file: Path | None = None
    """File with questions and passages, instead; answers in it are not read."""

    read: NewQuestionsConfig = field(default_factory=NewQuestionsConfig)
    """Format of the file."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_one_source(self.file, self.questions)
        check_out(self.out)
        if self.questions and not (self.passage or "").strip():
            raise InputError("questions are given, but no passage; write it with --passage 'some text'.")
        if self.file is not None and self.passage is not None:
            raise InputError(f"{self.file} has its own passages; leave out --passage.")


def run(config: Config) -> dict[str, Any]:
    """Answer, and print or write the answers.

    Returns:
        Counts: questions, those left out, passages read in windows.
    """
    from nlp_tasks.qa.question_answerer import QuestionAnswerer
    from pipelines.text.answers import show

    answerer, examples = QuestionAnswerer.load(config.run), _questions(config)
    windows = answerer.windows(examples)
    answers = answerer.accepted(answerer.best_answers(windows))
    rows = [
        {"id": question.id, **as_row(answer), "question": question.text}
        for question, answer in zip(examples.questions, answers, strict=True)
    ]
    summary = {"run": str(config.run), "questions": len(examples), "threshold": answerer.threshold}
    return show(rows, summary | {"left_out": examples.left_out, "counted": windows.counts}, config.out, config.json)


def as_row(answer: "Answer | None") -> dict[str, Any]:
    """Columns of an answer; None in each where there is no answer."""
    if answer is None:
        return {"answer": None, "start": None, "stop": None, "score": None}
    return {"answer": answer.text, "start": answer.start, "stop": answer.stop, "score": answer.score}


def _questions(config: Config) -> "QuestionSet":
    from nlp_tasks.qa.data import Question, QuestionSet
    from nlp_tasks.qa.files import read_set

    if config.file is not None:
        return read_set(config.file, config.read, answers=False, flags="read")
    if any(not text.strip() for text in config.questions):
        raise InputError("a question is empty; write something between the quotes.")
    questions = [Question(str(n), text.strip(), 0, (), f"question {n}") for n, text in enumerate(config.questions, 1)]
    return QuestionSet(Path("command line"), [config.passage or ""], questions)
