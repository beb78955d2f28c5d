"""Index of texts by a bi-encoder's vectors, for search.

The index is the one that items have (``recsys_bert.retrieval.index``); a folder holds it beside ``texts.jsonl``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recsys_bert.errors import InputError
from recsys_bert.parsing import parse_json

if TYPE_CHECKING:
    from nlp_tasks.matching.matcher import Matcher
    from recsys_bert.retrieval.index import ItemIndex

_TEXTS = "texts.jsonl"


class Match(NamedTuple):
    """An indexed text near a query."""

    text: str
    """The text."""

    line: int
    """Its line in the file."""

    similarity: float
    """Cosine with the query."""


@dataclass
class TextIndex:
    """Indexed texts."""

    matcher: "Matcher"
    """A bi-encoder."""

    vectors: "ItemIndex"
    """Index of vectors; row n is text n."""

    texts: list[str]
    """The texts."""

    lines: list[int]
    """Line of each in its file."""

    @classmethod
    def build(
        cls, matcher: "Matcher", run: Path, texts: Sequence[str], lines: Sequence[int], **settings: Any
    ) -> "TextIndex":
        """Index texts.

        Args:
            matcher: A bi-encoder, loaded from ``run``.
            run: Its run folder, whose weights are recorded in the index.
            texts: Distinct texts.
            lines: Line of each in its file.
            settings: See ``IndexConfig``.
        """
        import numpy as np

        from recsys_bert.retrieval.index import ItemIndex

        source = {"run": Path(run).name, "weights": _weights(run)}
        vectors = ItemIndex.build(matcher.encode(texts), np.arange(len(texts)), **settings, source=source)
        return cls(matcher, vectors, list(texts), list(lines))

    def search(self, queries: Sequence[str], k: int = 5) -> list[list[Match]]:
        """Find the texts nearest to each query.

        Args:
            queries: Texts.
            k: Texts for each; all where there are fewer.

        Returns:
            Matches of each query, best first.
        """
        rows, scores = self.vectors.search(self.matcher.encode(queries), min(k, len(self.texts)))
        pairs = zip(rows.tolist(), scores.tolist(), strict=True)
        return [
            [Match(self.texts[row], self.lines[row], score) for row, score in zip(*pair, strict=True) if row >= 0]
            for pair in pairs
        ]

    def save(self, folder: Path) -> None:
        """Write index and texts, all or nothing."""
        from recsys_bert.files import replacing

        with replacing(folder, sealed=True) as temporary:
            temporary.mkdir()
            self.vectors.save(temporary / "index")
            lines = (
                json.dumps({"line": line, "text": text}, ensure_ascii=False)
                for line, text in zip(self.lines, self.texts, strict=True)
            )
            (temporary / _TEXTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, run: Path) -> "TextIndex":
        """Load a folder of ``save``.

        Raises:
            InputError: It is no such folder, is damaged, or holds vectors of another run.
        """
        from nlp_tasks.lines import read_lines
        from nlp_tasks.matching.matcher import Matcher
        from recsys_bert.checksums import check_intact
        from recsys_bert.retrieval.index import ItemIndex

        if not (Path(folder) / _TEXTS).is_file():
            raise InputError(f"{folder} holds no indexed texts ({_TEXTS}). Make them with `text match index`.")
        check_intact(Path(folder), "make the index again")
        vectors = ItemIndex.load(Path(folder) / "index")
        if vectors.source.get("weights") != _weights(run):
            raise InputError(
                f"{folder} was made with the run {vectors.source.get('run')!r}, or with other weights than {run} has "
                "now. Make it again with `text match index`."
            )
        try:
            rows = [parse_json(line) for _, line in read_lines(Path(folder) / _TEXTS)]
            texts, lines = [row["text"] for row in rows], [row["line"] for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}/{_TEXTS} is damaged: {error}. Make the index again.") from error
        if len(texts) != len(vectors):
            raise InputError(f"{folder} has {len(vectors)} vectors but {len(texts)} texts. Make the index again.")
        return cls(Matcher.load(run), vectors, texts, lines)


def check_replaceable(out: Path) -> None:
    """Refuse to put an index where something else lies.

    Raises:
        InputError: ``out`` is a file, or a folder that holds other things than indexed texts, or other things as well.
    """
    from recsys_bert.checksums import NAME as CHECKSUMS
    from recsys_bert.files import check_nothing_lost

    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / _TEXTS).is_file()):
        raise InputError(f"{out} is there and holds no indexed texts. Choose another --out, or remove it.")
    if out.is_dir():
        check_nothing_lost(out, (_TEXTS, "index", CHECKSUMS), "a folder of indexed texts")


def _weights(run: Path) -> str:
    from nlp_tasks.config import TokenizerConfig
    from nlp_tasks.encoders import start_files
    from recsys_bert.files import fingerprint

    return fingerprint(start_files(run, TokenizerConfig()))
