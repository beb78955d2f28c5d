"""BM25 (https://doi.org/10.1561/1500000019) by bm25s (https://arxiv.org/abs/2407.03618): the paragraphs to read.

The variant is Lucene's, ``idf · tf / (tf + k1 · (1 − b + b · length / mean length))`` with
``idf = ln(1 + (n − df + 0.5) / (df + 0.5))``, which is never negative.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.examples import text_list
from nlp_tasks.recall.words import Cut
from recsys_bert.checksums import NAME as CHECKSUMS
from recsys_bert.checksums import check_intact
from recsys_bert.errors import InputError
from recsys_bert.files import check_nothing_lost, read_json, replacing, write_json
from recsys_bert.progress import Progress

_RECORD = "paragraphs.json"  # paragraphs and settings of a stored index


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise InputError("BM25 needs bm25s: pip install 'recsys-bert[text]'.") from error
    return bm25s


class BM25:
    """BM25 index of paragraphs.

    Args:
        paragraphs: Their texts.
        cut: Cuts a text into words.
        k1: Saturation of the term frequency.
        b: Length normalisation, in [0, 1].

    Raises:
        InputError: bm25s is not installed, or no paragraph has a word.
    """

    def __init__(self, paragraphs: Sequence[str], cut: Cut, *, k1: float = 1.5, b: float = 0.75) -> None:
        bm25s, paragraphs = _bm25s(), text_list(paragraphs, "paragraphs")
        self._cut, self._number, self._count = cut, dict[str, int](), len(paragraphs)
        rows = []
        with Progress("cutting paragraphs into words", len(paragraphs), "paragraphs") as progress:
            for text in paragraphs:
                rows.append([self._number.setdefault(word, len(self._number)) for word in cut(text)])
                progress.advance()
        if not self._number:
            raise InputError(f"none of the {len(paragraphs):,} paragraphs has a word to search by.")
        self._index: Any = bm25s.BM25(method="lucene", k1=k1, b=b)
        self._index.index((rows, self._number), show_progress=False)

    @classmethod
    def stored(
        cls, folder: Path, paragraphs: Sequence[str], words: str, cut: Cut, *, k1: float = 1.5, b: float = 0.75
    ) -> "BM25":
        """Load the index of a folder; build and store it where there is none, or one of other paragraphs or settings.

        Args:
            folder: Created where it does not exist.
            paragraphs: See ``BM25``.
            words: Name of ``cut``.
            cut: See ``BM25``.
            k1: See ``BM25``.
            b: See ``BM25``.

        Raises:
            InputError: Something else lies there, or the index is damaged; or see ``BM25``.
        """
        record, digest = folder / _RECORD, sha256()
        for text in paragraphs:
            digest.update(f"{len(text)} {text}".encode(errors="surrogatepass"))
        about = {"paragraphs": digest.hexdigest(), "words": words, "k1": k1, "b": b, "normalisation": "NFKC"}
        if record.is_file() and read_json(record) == about:
            return cls._load(folder, len(paragraphs), cut)
        if folder.is_dir() and any(folder.iterdir()) and not record.is_file():
            raise InputError(
                f"{folder} is there and holds no index of paragraphs. Choose another folder, or remove it."
            )
        built = cls(paragraphs, cut, k1=k1, b=b)
        with replacing(folder, sealed=True) as temporary:
            built._index.save(temporary, show_progress=False)
            write_json(temporary / _RECORD, about)
            names = [CHECKSUMS, *(path.name for path in temporary.iterdir())]
            if folder.is_dir():
                check_nothing_lost(folder, names, "an index of paragraphs")
        return built

    @classmethod
    def _load(cls, folder: Path, count: int, cut: Cut) -> "BM25":
        check_intact(folder, f"delete {folder}")
        loaded, bm25s = cls.__new__(cls), _bm25s()
        try:
            loaded._index = bm25s.BM25.load(folder, show_progress=False)
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # intact, so another bm25s wrote it
            raise InputError(
                f"the index in {folder} is of another version of bm25s, as it seems ({error}); delete it."
            ) from error
        loaded._cut, loaded._number, loaded._count = cut, loaded._index.vocab_dict, count
        return loaded

    def __len__(self) -> int:
        return self._count

    def scores(self, question: str) -> NDArray[np.float32]:
        """Score of every paragraph, ``[paragraphs]``; 0 for one that shares no word with the question.

        A word counts as often as the question has it.
        """
        known = [self._number[word] for word in self._cut(question) if word in self._number]
        scores: NDArray[np.float32] = self._index.get_scores_from_ids(known)
        return scores

    def search(self, questions: Sequence[str], k: int) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Retrieve the best paragraphs for each question.

        Args:
            questions: The questions.
            k: Paragraphs for each at most.

        Returns:
            Their numbers and scores, best first, ties in order; none that shares no word.

        Raises:
            InputError: Not a list of texts, or ``k`` is below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1.")
        questions, results = text_list(questions, "questions"), []
        with Progress("searching paragraphs", len(questions), "questions") as progress:
            for question in questions:
                scores = self.scores(question)
                order = np.argsort(-scores, kind="stable")[:k]
                order = order[scores[order] > 0]
                results.append((order, scores[order]))
                progress.advance()
        return results
