"""Search a vector store by items, words or both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.support.item_lists import print_lists
from pipelines.support.outputs import check_out
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the rows of a store nearest to given items, or whose texts hold given words, or both merged."""

    url: str
    """Folder or address of the store, as for `store load`."""

    kind: Literal["faiss", "milvus", "postgres", "elastic"] = "faiss"
    """System of the store."""

    name: str = "items"
    """Name of the store within a database."""

    items: tuple[str, ...] = ()
    """Ids of stored items whose nearest are searched, without themselves; with words, one for each of them."""

    words: tuple[str, ...] = ()
    """Texts whose words are searched, by BM25; with items, both ranks are merged (reciprocal rank fusion)."""

    filter: str | None = None
    """Rows that may be returned, as in 'price < 20 and brand in ("a", "b") and not sold_out'."""

    k: int = 10
    """Rows for each, up to 10,000."""

    show: tuple[str, ...] = ()
    """Columns to print beside the ids and scores."""

    out: Path | None = None
    """File to write instead of printing, by its ending: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        if not self.items and not self.words:
            raise InputError("give items or words to search for, as in --items 12 or --words 'red shoes'.")
        if self.items and self.words and len(self.items) != len(self.words):
            raise InputError(
                f"{len(self.items)} items and {len(self.words)} words are given; a merged search has one of each."
            )
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Search.

    Returns:
        Counts: searches, and lists that came out short.

    Raises:
        InputError: No such store, items that are not in it, unknown columns, or a bad filter.
    """
    import polars as pl

    from recsys_bert.errors import unknown_name
    from recsys_bert.stores.opening import open_store

    with open_store(config.url, config.kind, name=config.name) as store:
        for name in config.show:
            if name not in store.about.columns:
                raise unknown_name("column of the store", name, store.about.columns)
        queries, lists = _lists(store, config)
        lines = []
        for query, matches in zip(queries, lists, strict=True):
            rows = store.get([match.id for match in matches])
            for rank, (match, row) in enumerate(zip(matches, rows, strict=True), 1):
                columns = {name: None if row is None else row.columns[name] for name in config.show}
                title = {} if row is None or row.text is None else {"title": row.text}
                lines.append(
                    {"query": query, "rank": rank, "item_id": match.id, "score": match.score, **title, **columns}
                )
    schema = {"query": pl.String, "rank": pl.Int64, "item_id": pl.String, "score": pl.Float64}
    frame = pl.DataFrame(lines, infer_schema_length=None) if lines else pl.DataFrame(schema=schema)
    summary = {"store": config.url.rpartition("@")[2], "k": config.k, "asked": len(queries)}
    return print_lists(frame, summary, config.out, config.json, reason="no more rows match")


def _lists(store: Any, config: Config) -> tuple[list[str], list[list[Any]]]:
    """Names of the searches and their matches."""
    import numpy as np

    if not config.items:
        return list(config.words), store.search_text(config.words, config.k, config.filter)
    ids = [int(one) if store.about.ids == "int" and _is_whole(one) else one for one in config.items]
    rows = store.get(ids)
    missing = [str(one) for one, row in zip(ids, rows, strict=True) if row is None]
    if missing:
        raise InputError(f"{len(missing)} items are not in the store: {', '.join(missing[:5])}.")
    vectors = np.stack([row.vector for row in rows])
    if config.words:
        names = [f"{one} + {words}" for one, words in zip(config.items, config.words, strict=True)]
        return names, store.hybrid(vectors, config.words, config.k, config.filter)
    lists = store.search(vectors, min(config.k + 1, 10_000), config.filter)
    return list(config.items), [
        [match for match in matches if match.id != one][: config.k] for one, matches in zip(ids, lists, strict=True)
    ]


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
