"""Open-domain question answering: BM25 retrieves paragraphs, TextRank shortens, a question answerer reads."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_tasks.qa.config import RetrievalConfig
from pipelines.support.outputs import check_out, check_place
from pipelines.text.qa.paragraphs import ParagraphsConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write answers to questions, each with its paragraph among many."""

    run: Path
    """Run folder of `text qa train`."""

    files: tuple[Path, ...]
    """Files of paragraphs."""

    read: ParagraphsConfig = field(default_factory=ParagraphsConfig)
    """Format of the files."""

    questions: tuple[str, ...]
    """Questions, each in quotes."""

    k: int = 1
    """Answers to each, from different paragraphs."""

    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    """Retriever: number of paragraphs, BM25, TextRank."""

    index: Path | None = None
    """Folder that stores the index of the paragraphs for the next search; built where there is none, or one of other
    paragraphs or settings. It saves most of a minute with 10,000 long paragraphs in Chinese, seconds in other
    languages. None stores none."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_out(self.out)
        check_place(self.index, folder=True)
        if not 1 <= self.k <= self.retrieval.paragraphs:
            raise InputError(
                f"k is {self.k}; it must lie between 1 and retrieval.paragraphs, {self.retrieval.paragraphs}."
            )
        if not self.files:
            raise InputError("no file of paragraphs is given; name some with --files FILE ….")
        if not self.questions or any(not question.strip() for question in self.questions):
            raise InputError("a question is empty, or none is given; write one, as in --questions 'who was it?'.")


def run(config: Config) -> dict[str, Any]:
    """Retrieve, answer, and print or write the answers.

    Returns:
        Counts: questions, paragraphs, those left out or shortened.
    """
    from nlp_tasks.qa.open_domain import OpenDomainQA
    from nlp_tasks.qa.question_answerer import QuestionAnswerer
    from pipelines.text.answers import show
    from pipelines.text.qa.paragraphs import read_paragraphs
    from pipelines.text.qa.predict import as_row

    answerer = QuestionAnswerer.load(config.run)
    paragraphs, left_out = read_paragraphs(config.files, config.read)
    texts = [paragraph.text for paragraph in paragraphs]
    open_domain = OpenDomainQA(answerer, texts, config.retrieval, config.index)
    questions = [question.strip() for question in config.questions]
    answers, counts = open_domain.predict(questions, config.k)
    rows: list[dict[str, Any]] = []
    for question, ranked in zip(questions, answers, strict=True):
        for rank, retrieved in enumerate(ranked, 1):
            paragraph = paragraphs[retrieved.paragraph]
            source = {"bm25": retrieved.bm25, "file": paragraph.file, "source": paragraph.source, "question": question}
            rows.append({"rank": rank, **as_row(retrieved.answer), "score": retrieved.score, **source})
        if not ranked:
            nothing = dict.fromkeys(("bm25", "file", "source"))
            rows.append({"rank": None, **as_row(None), **nothing, "question": question})
    summary = {"run": str(config.run), "questions": len(questions), "paragraphs": len(paragraphs)}
    return show(rows, summary | {"left_out": left_out, "counted": counts}, config.out, config.json)
