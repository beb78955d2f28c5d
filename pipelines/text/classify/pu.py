"""Score unlabelled texts by PU bagging: some positives are known, and no negatives."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlp_tasks.encodings import check_encoding
from nlp_tasks.pu_bagging.config import PUBaggingConfig
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.pu_bagging.scorer import PUScores


@dataclass(frozen=True, kw_only=True)
class Config(PUBaggingConfig):
    """Score unlabelled texts by some known positives, without negatives (PU bagging)."""

    positives: Path
    """File of positive texts: one a line (.txt), or tsv, csv or jsonl with a column of texts."""

    unlabelled: Path
    """File of texts that may be positive or negative."""

    text: str = "text"
    """Column with the text; for tsv, csv and jsonl."""

    encoding: str = "utf-8"
    """Encoding of text files, such as gb18030 or latin-1."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable rows: stop with the number of the first, or drop and count them."""

    top: int = 20
    """Number of texts to print, the highest score first; 0: all."""

    out: Path | None = None
    """File of all scores, in the order of ``unlabelled``; its ending names the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out(self.out)
        check_encoding(self.encoding, "encoding")
        if self.top < 0:
            raise InputError(f"top is {self.top}; it cannot be negative.")


def run(config: Config) -> dict[str, Any]:
    """Score, and print or write the scores.

    Returns:
        Counts, the estimated share of positives and the AUC of hidden positives.
    """
    import sys

    from nlp_tasks.config import CorpusConfig
    from nlp_tasks.pretraining.corpus import read_documents
    from nlp_tasks.pu_bagging.scorer import score_unlabelled
    from pipelines.text.answers import show

    corpus = CorpusConfig(texts=(config.text,), encoding=config.encoding, bad_rows=config.bad_rows)
    (positives, left_out), (unlabelled, also_left_out) = (
        read_documents(path, corpus, flags="") for path in (config.positives, config.unlabelled)
    )
    result = score_unlabelled(positives, unlabelled, config=config)
    summary = {
        "positives": len(positives),
        "unlabelled": len(unlabelled),
        "share_of_positives": result.prior,
        "holdout_auc": result.holdout_auc,
        "left_out": {**left_out, **also_left_out},
    }
    print(_summary(summary), file=sys.stderr)
    rows = _rows(unlabelled, result)
    if config.out is None:
        rows = sorted(rows, key=lambda row: row["rank"])[: config.top or None]
    return show(rows, summary, config.out, config.json)


def _rows(texts: list[str], result: "PUScores") -> list[dict[str, Any]]:
    """One row per unlabelled text: rank from 1, score, number of the text from 1, text."""
    import numpy as np

    ranks = np.empty(len(texts), np.int64)
    ranks[np.argsort(-result.scores, kind="stable")] = np.arange(1, len(texts) + 1)
    numbered = enumerate(zip(ranks.tolist(), result.scores.tolist(), texts, strict=True), 1)
    return [{"rank": rank, "score": score, "number": number, "text": text} for number, (rank, score, text) in numbered]


def _summary(summary: dict[str, Any]) -> str:
    lines = [f"{summary['positives']:,} positives, {summary['unlabelled']:,} unlabelled texts"]
    if (auc := summary["holdout_auc"]) is not None:
        lines.append(f"AUC of hidden positives against unlabelled texts {auc:.4f}")
    if (share := summary["share_of_positives"]) is not None:
        lines.append(f"about {100 * share:.1f} % of the unlabelled texts are positive (best bin estimation)")
    lines += [f"  {reason}: {n:,}" for reason, n in summary["left_out"].items()]
    return "\n".join(lines)
