"""Plain text for pretraining: documents from files, cut into examples of whole sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.config import CorpusConfig, FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.examples import HALF, is_text
from nlp_tasks.lines import read_json_document, read_lines, suffix
from nlp_tasks.recall.sentences import sentence_spans
from nlp_tasks.recall.words import jieba_tokenizer
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress

_AT_ONCE = 2048  # documents cut into tokens between two signs of progress


@dataclass(frozen=True)
class Corpus:
    """Examples one after the other, as tokens without special ones; an example is whole sentences of one document."""

    ids: NDArray[np.int32]
    """``[total]`` tokens."""

    offsets: NDArray[np.int64]
    """``[examples + 1]``: example i has ``ids[offsets[i] : offsets[i + 1]]``."""

    document: NDArray[np.int64]
    """``[examples]`` the document of each, ascending."""

    sentence_starts: NDArray[np.bool_]
    """``[total]``, True where a sentence begins."""

    word_starts: NDArray[np.bool_]
    """``[total]``, True where a word begins, which is masked as a whole."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``[examples]`` tokens of each."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1


def read_documents(path: Path, config: CorpusConfig, *, flags: str = "data") -> tuple[list[str], dict[str, int]]:
    """Texts of the documents of a file, and counts of rows left out, by reason.

    Args:
        path: The file.
        config: How it is read.
        flags: What the command calls these settings, for messages that name one.

    Raises:
        InputError: It cannot be read, is not UTF-8, or holds no text.
    """
    path = Path(path)
    kind = config.format
    if kind == "auto" and suffix(path) in (".txt", ""):
        kind = "lines"
    if kind == "lines" or kind == "blocks":  # mypy learns nothing from a tuple
        lines = read_lines(path, config.encoding, flags=flags)
        documents = list(_documents(path, lines, whole_lines=kind == "lines"))
    elif kind == "squad":
        documents = _passages(path, config.encoding, flags)
    else:
        files = FilesConfig(format=kind, columns=config.columns, encoding=config.encoding, bad_rows=config.bad_rows)
        table = read_table(path, files, config.texts, flags=flags)
        return [text for column in table.texts.values() for text in column], table.left_out
    if not documents:
        raise InputError(f"{path} holds no text.")
    return documents, {}


def _documents(path: Path, lines: Iterator[tuple[int, str]], *, whole_lines: bool) -> Iterator[str]:
    with Progress(f"reading {path.name}", None, "lines") as progress:
        block: list[str] = []
        for _, line in lines:
            progress.advance()
            if line.strip():
                block.append(line.strip())
            if block and (whole_lines or not line.strip()):
                yield "\n".join(block)
                block = []
        if block:
            yield "\n".join(block)


def _passages(path: Path, encoding: str, flags: str) -> list[str]:
    """Passages of a reading set in SQuAD's form."""
    articles = read_json_document(path, encoding, flags=flags)
    try:
        paragraphs = [paragraph for article in articles["data"] for paragraph in article["paragraphs"]]
        passages = [text for paragraph in paragraphs if (text := paragraph["context"].strip())]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not in SQuAD's form: data, paragraphs, context ({error!r}).") from error
    if bad := sum(not is_text(text) for text in passages):
        raise InputError(f"{path}: {bad:,} passages hold {HALF}. Mend them.")
    return passages


def cut_corpus(documents: Sequence[str], tokenizer: Tokenizer, room: int, whole_words: str) -> Corpus:
    """Cut documents into examples: as many whole sentences as have room, never of two documents.

    A sentence longer than the room is cut where the room ends. Sentences without a token are left out.

    Args:
        documents: Their texts.
        tokenizer: Cuts sentences into tokens.
        room: Tokens of an example at most.
        whole_words: Words to mask as a whole: ``none`` (each token by itself), ``tokenizer`` (a token and those that
            continue it) or ``jieba``.

    Raises:
        InputError: No document has a token.
    """
    parts = []
    words = _Jieba() if whole_words == "jieba" else None
    with Progress("cutting text into tokens", len(documents), "documents") as progress:
        for first in range(0, len(documents), _AT_ONCE):
            some = documents[first : first + _AT_ONCE]
            parts.append(_tokens(some, first, tokenizer, whole_words, words))
            progress.advance(len(some))
    ids, word_starts, lengths, document = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(ids):
        raise InputError(f"none of the {len(documents):,} documents has a character that the tokenizer reads.")
    sentence_starts = np.zeros(len(ids), bool)
    sentence_starts[np.cumsum(lengths) - lengths] = True
    offsets, owner = _packed(lengths.tolist(), document.tolist(), room)
    return Corpus(ids, np.array(offsets), np.array(owner), sentence_starts, word_starts)


Columns = tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]


def _tokens(
    documents: Sequence[str], number: int, tokenizer: Tokenizer, whole_words: str, words: "_Jieba | None"
) -> Columns:
    """Tokens and starts of words; tokens and document of each sentence that has a token."""
    sentences: list[str] = []
    owner: list[int] = []
    for n, text in enumerate(documents, number):
        for start, stop in sentence_spans(text):
            sentences.append(text[start:stop])
            owner.append(n)
    cut = tokenizer(sentences, spans=words is not None)
    starts = np.ones(len(cut.ids), bool)
    if whole_words == "tokenizer":
        starts = ~tokenizer.continues[cut.ids]
        starts[cut.offsets[:-1][cut.lengths > 0]] = True
    elif words is not None:
        starts = words.starts(sentences, cut.spans, cut.offsets)
    some = cut.lengths > 0
    return cut.ids, starts, cut.lengths[some], np.array(owner, np.int64)[some]


class _Jieba:
    """Words of Chinese text by jieba.

    Raises:
        InputError: jieba is not installed.
    """

    def __init__(self) -> None:
        self._cut: Any = jieba_tokenizer("whole_words 'jieba' needs").lcut

    def starts(self, sentences: Sequence[str], spans: Any, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """True for each token that begins a word: it covers a character of another word than the token before it."""
        starts = np.ones(len(spans), bool)
        for text, first, stop in zip(sentences, offsets[:-1], offsets[1:], strict=True):
            lengths = [len(word) for word in self._cut(text)]
            word = np.repeat(np.arange(len(lengths)), lengths)[spans[first:stop, 0]]
            starts[first + 1 : stop] = word[1:] != word[:-1]
        return starts


def _packed(lengths: list[int], document: list[int], room: int) -> tuple[list[int], list[int]]:
    """Ends of examples among the tokens, and the document of each."""
    offsets: list[int] = [0]
    owner: list[int] = []
    place = 0
    for length, one in zip(lengths, document, strict=True):
        fits = bool(owner) and owner[-1] == one and place + length - offsets[-2] <= room
        if fits:
            offsets[-1] = place + length
        else:
            ends = [*range(place + room, place + length, room), place + length]
            offsets += ends
            owner += [one] * len(ends)
        place += length
    return offsets, owner


def hold_out_documents(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, Corpus]:
    """Cut a corpus into training and validation, by documents drawn at random.

    Raises:
        InputError: There are too few for both.
    """
    documents = np.unique(corpus.document)
    n = max(2, round(len(documents) * share))  # nsp needs two
    if n >= len(documents):
        raise InputError(
            f"there are {len(documents):,} documents; holding out the share {share} leaves nothing. Give a validation "
            "file."
        )
    validation = np.random.default_rng(seed).choice(documents, n, replace=False)
    held_out = np.isin(corpus.document, validation)
    return _part(corpus, ~held_out), _part(corpus, held_out)


def _part(corpus: Corpus, examples: NDArray[np.bool_]) -> Corpus:
    tokens = np.repeat(examples, corpus.lengths)
    offsets = np.concatenate([[0], np.cumsum(corpus.lengths[examples])])
    columns = {name: getattr(corpus, name)[tokens] for name in ("ids", "sentence_starts", "word_starts")}
    return replace(corpus, offsets=offsets, document=corpus.document[examples], **columns)
