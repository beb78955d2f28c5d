"""Search indexed texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the indexed texts that are nearest to new ones."""

    run: Path
    """Run folder of `text match train` with task.form bi."""

    index: Path
    """Folder that `text match index` wrote."""

    texts: tuple[str, ...]
    """Texts, each in quotes."""

    k: int = 5
    """Texts for each."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_out(self.out)
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")


def run(config: Config) -> dict[str, Any]:
    """Search, and print or write the matches.

    Returns:
        Counts: queries, indexed texts.
    """
    from pipelines.text.answers import show, typed_in
    from pipelines.text.match.text_index import TextIndex

    if not config.texts:
        raise InputError("no text is given; give some, as in --texts 'how do I pay?'.")
    queries = typed_in(texts=config.texts).texts["texts"]
    index = TextIndex.load(config.index, config.run)
    rows = []
    for query, matches in zip(queries, index.search(queries, config.k), strict=True):
        for rank, match in enumerate(matches, 1):
            ranked = {"query": query, "rank": rank, "similarity": match.similarity}
            rows.append(ranked | {"line": match.line, "text": match.text})
    summary = {"run": str(config.run), "queries": len(queries), "indexed": len(index.texts)}
    return show(rows, summary, config.out, config.json)
