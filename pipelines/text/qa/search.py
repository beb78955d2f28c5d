"""Find the answer to questions among many paragraphs: BM25 picks, TextRank shortens, the reader reads."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_tasks.qa.config import ChainConfig
from pipelines.support.outputs import check_out, check_place
from pipelines.text.qa.paragraphs import ParagraphsConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write answers to questions, with the paragraph of many in which each was found."""

    run: Path
    """Run folder of `text qa train`."""

    files: tuple[Path, ...]
    """Files of paragraphs."""

    read: ParagraphsConfig = field(default_factory=ParagraphsConfig)
    """How they are read."""

    questions: tuple[str, ...]
    """Questions, each in quotes."""

    k: int = 1
    """Answers to each, from different paragraphs."""

    chain: ChainConfig = field(default_factory=ChainConfig)
    """How many paragraphs are read, and how they are found."""

    index: Path | None = None
    """Folder that keeps the index of the paragraphs for the next search; made where it is not there, and anew where
    they or the settings of BM25 are others. It saves most of a minute with 10,000 long paragraphs in Chinese, seconds
    in other languages. None keeps none."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_out(self.out)
        check_place(self.index, folder=True)
        if not 1 <= self.k <= self.chain.paragraphs:
            raise InputError(f"k is {self.k}; it must lie between 1 and chain.paragraphs, {self.chain.paragraphs}.")
        if not self.files:
            raise InputError("no file of paragraphs is given; name some with --files FILE ….")
        if not self.questions or any(not question.strip() for question in self.questions):
            raise InputError("a question is empty, or none is given; write one, as in --questions 'who was it?'.")


def run(config: Config) -> dict[str, Any]:
    """Search, read and show.

    Returns:
        Counts: questions, paragraphs, those left out or shortened.
    """
    from nlp_tasks.qa.open_domain import Chain
    from nlp_tasks.qa.question_answerer import Reader
    from pipelines.text.answers import show
    from pipelines.text.qa.paragraphs import read_paragraphs
    from pipelines.text.qa.predict import as_row

    reader = Reader.load(config.run)
    paragraphs, left_out = read_paragraphs(config.files, config.read)
    chain = Chain(reader, [paragraph.text for paragraph in paragraphs], config.chain, config.index)
    questions = [question.strip() for question in config.questions]
    found, counts = chain.answer(questions, config.k)
    rows: list[dict[str, Any]] = []
    for question, some in zip(questions, found, strict=True):
        for rank, one in enumerate(some, 1):
            place = paragraphs[one.paragraph]
            where = {"bm25": one.bm25, "file": place.file, "place": place.place, "question": question}
            rows.append({"rank": rank, **as_row(one.answer), "score": one.score, **where})
        if not some:
            nothing = dict.fromkeys(("bm25", "file", "place"))
            rows.append({"rank": None, **as_row(None), **nothing, "question": question})
    told = {"run": str(config.run), "questions": len(questions), "paragraphs": len(paragraphs)}
    return show(rows, told | {"left_out": left_out, "counted": counts}, config.out, config.json)
