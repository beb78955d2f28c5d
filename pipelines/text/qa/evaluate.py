"""Evaluate a question answerer, beside a baseline and, on request, among all passages of the file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.qa.config import NewQuestionsConfig, RetrievalConfig
from pipelines.support.outputs import check_place
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.qa.data import QuestionSet
    from nlp_tasks.qa.question_answerer import QuestionAnswerer

_KS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Evaluate a question answerer: exact match and F1, beside the sentence most similar to the question."""

    run: Path
    """Run folder of `text qa train`."""

    file: Path
    """File with questions, passages and answers."""

    read: NewQuestionsConfig = field(default_factory=NewQuestionsConfig)
    """Format of the file."""

    search: bool = False
    """Also answer each question from all passages of the file, as `text qa search` does."""

    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    """Retriever, for ``search``."""

    out: Path | None = None
    """JSON file for the metrics."""

    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def __post_init__(self) -> None:
        check_place(self.out)
        if self.retrieval != RetrievalConfig() and not self.search:
            raise InputError("retrieval sets the retriever of the search; set search as well.")


def run(config: Config) -> dict[str, Any]:
    """Evaluate and print.

    Returns:
        Metrics of the question answerer; ``nearest_sentence``, those of the baseline; with ``search`` also
        ``open_domain`` and ``bm25``; ``left_out`` and ``counted``.
    """
    import json

    from nlp_tasks.qa.data import unusable
    from nlp_tasks.qa.files import read_set
    from nlp_tasks.qa.metrics import answer_metrics, nearest_sentence
    from nlp_tasks.qa.question_answerer import QuestionAnswerer
    from recsys_bert.files import write_json

    answerer = QuestionAnswerer.load(config.run)
    examples = read_set(config.file, config.read, flags="read")
    examples = examples.without(unusable(examples, train=False, no_answer=answerer.config.no_answer))
    windows = answerer.windows(examples)
    metrics = answerer.metrics(windows, examples)
    passages, language = examples.passages, answerer.language
    sentences = [nearest_sentence(q.text, passages[q.passage], language) for q in examples.questions]
    metrics["nearest_sentence"] = answer_metrics(sentences, examples.references, language)
    if config.search:
        metrics |= _open_domain(answerer, examples, config.retrieval)
    metrics |= {"language": language, "left_out": examples.left_out, "counted": examples.counts | windows.counts}
    if config.out is not None:
        write_json(config.out, metrics)
    print(json.dumps(metrics, ensure_ascii=False) if config.json else _as_text(metrics))
    return metrics


def _open_domain(
    answerer: "QuestionAnswerer", examples: "QuestionSet", config: RetrievalConfig
) -> dict[str, dict[str, Any]]:
    """Metrics of BM25 and of open-domain question answering, over all passages of the file."""
    from nlp_tasks.qa.metrics import answer_metrics
    from nlp_tasks.qa.open_domain import OpenDomainQA, recall_at

    open_domain = OpenDomainQA(answerer, examples.passages, config)
    right = examples.about.tolist()
    bm25 = recall_at(open_domain.bm25, examples.texts, right, _KS) | {"paragraphs": len(examples.passages)}
    ranked, counts = open_domain.predict(examples.texts)
    answers = [some[0].answer.text if some else None for some in ranked]
    metrics = answer_metrics(answers, examples.references, answerer.language)
    hits = [bool(some) and some[0].paragraph == target for some, target in zip(ranked, right, strict=True)]
    metrics["right_paragraph"] = sum(hits) / len(right)
    return {"bm25": bm25, "open_domain": metrics | {"paragraphs_read": config.paragraphs, "counted": counts}}


def _as_text(metrics: dict[str, Any]) -> str:
    rows = {"question answerer": metrics, "nearest sentence (baseline)": metrics["nearest_sentence"]}
    if open_domain := metrics.get("open_domain"):
        rows[f"open-domain ({open_domain['paragraphs_read']} paragraphs)"] = open_domain
    width = max(map(len, rows))
    lines = [f"{metrics['examples']:,} questions, {metrics['language']}", f"{'':<{width}}      em      f1"]
    for name, row in rows.items():
        more = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in row.items() if _is_extra(key, value))
        lines.append(f"{name:<{width}}  {row['em']:.4f}  {row['f1']:.4f}{f'  ({more})' if more else ''}")
    if bm25 := metrics.get("bm25"):
        recalls = ", ".join(f"{name} {value:.4f}" for name, value in bm25.items() if name != "paragraphs")
        lines.append(f"BM25 among {bm25['paragraphs']:,} paragraphs: {recalls}")
    counts = {**metrics["left_out"], **metrics["counted"], **metrics.get("open_domain", {}).get("counted", {})}
    return "\n".join([*lines, *(f"  {name.replace('_', ' ')}: {n:,}" for name, n in counts.items())])


def _is_extra(key: str, value: Any) -> bool:
    return isinstance(value, float) and key not in ("em", "f1")
