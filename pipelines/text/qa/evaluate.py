"""Measure a trained reader, beside a baseline and, if asked for, among all passages of the file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.qa.config import ChainConfig, NewSetConfig
from pipelines.support.outputs import check_place

if TYPE_CHECKING:
    from nlp_tasks.qa.data import ReadingSet
    from nlp_tasks.qa.question_answerer import Reader

_KS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure a reader: exact match and F1, beside the sentence that is most like the question."""

    run: Path
    """Run folder of `text qa train`."""

    file: Path
    """File with questions, passages and answers."""

    read: NewSetConfig = field(default_factory=NewSetConfig)
    """How it is read."""

    search: bool = False
    """Also look for each question's answer among all passages of the file, as `text qa search` does."""

    chain: ChainConfig = field(default_factory=ChainConfig)
    """How, for ``search``."""

    out: Path | None = None
    """JSON file to write the figures to."""

    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def __post_init__(self) -> None:
        check_place(self.out)


def run(config: Config) -> dict[str, Any]:
    """Measure and tell.

    Returns:
        Figures of the reader; ``nearest_sentence``, those of the baseline; with ``search`` also ``chain`` and ``bm25``;
        ``left_out`` and ``counted``.
    """
    import json

    from nlp_tasks.qa.data import read_set, unusable
    from nlp_tasks.qa.metrics import answer_metrics, nearest_sentence
    from nlp_tasks.qa.question_answerer import Reader
    from recsys_bert.files import write_json

    reader = Reader.load(config.run)
    made = read_set(config.file, config.read)
    made = made.without(unusable(made, train=False, no_answer=reader.config.no_answer), config.read.bad_rows)
    windows = reader.windows(made)
    found = reader.metrics(windows, made.questions)
    sentences = [nearest_sentence(q.text, made.passages[q.passage], reader.language) for q in made.questions]
    references = [[answer.text for answer in question.answers] for question in made.questions]
    found["nearest_sentence"] = answer_metrics(sentences, references, reader.language)
    if config.search:
        found |= _searched(reader, made, references, config.chain)
    found |= {"language": reader.language, "left_out": made.left_out, "counted": made.counts | windows.counts}
    if config.out is not None:
        write_json(config.out, found)
    print(json.dumps(found, ensure_ascii=False) if config.json else _as_text(found))
    return found


def _searched(
    reader: "Reader", made: "ReadingSet", references: list[list[str]], config: ChainConfig
) -> dict[str, dict[str, Any]]:
    """Figures of BM25 and of the whole chain, over all passages of the file."""
    from nlp_tasks.qa.metrics import answer_metrics
    from nlp_tasks.qa.open_domain import Chain, recall_at

    chain = Chain(reader, made.passages, config)
    questions, right = [question.text for question in made.questions], [question.passage for question in made.questions]
    bm25 = recall_at(chain.bm25, questions, right, _KS) | {"paragraphs": len(made.passages)}
    ranked, counts = chain.answer(questions)
    answers = [some[0].answer.text if some else None for some in ranked]
    found = answer_metrics(answers, references, reader.language)
    found["right_paragraph"] = sum(
        bool(some) and some[0].paragraph == own for some, own in zip(ranked, right, strict=True)
    ) / len(right)
    return {"bm25": bm25, "chain": found | {"paragraphs_read": config.paragraphs, "counted": counts}}


def _as_text(found: dict[str, Any]) -> str:
    rows = {"reader": found, "nearest sentence (baseline)": found["nearest_sentence"]}
    if chain := found.get("chain"):
        rows[f"BM25, TextRank, reader ({chain['paragraphs_read']} paragraphs)"] = chain
    width = max(map(len, rows))
    lines = [f"{found['examples']:,} questions, {found['language']}", f"{'':<{width}}      em      f1"]
    for name, row in rows.items():
        more = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in row.items() if _is_extra(key, value))
        lines.append(f"{name:<{width}}  {row['em']:.4f}  {row['f1']:.4f}{f'  ({more})' if more else ''}")
    if bm25 := found.get("bm25"):
        recalls = ", ".join(f"{name} {value:.4f}" for name, value in bm25.items() if name != "paragraphs")
        lines.append(f"BM25 among {bm25['paragraphs']:,} paragraphs: {recalls}")
    counts = {**found["left_out"], **found["counted"], **found.get("chain", {}).get("counted", {})}
    return "\n".join([*lines, *(f"  {name.replace('_', ' ')}: {n:,}" for name, n in counts.items())])


def _is_extra(key: str, value: Any) -> bool:
    return isinstance(value, float) and key not in ("em", "f1")
