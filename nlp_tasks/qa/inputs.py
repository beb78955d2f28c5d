"""What an encoder reads of questions and passages: windows over long passages, and where each token stands in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.batches import Choose, some_of
from nlp_tasks.inputs import Inputs, Ints, assembled, ranges, taken
from nlp_tasks.qa.config import QAConfig
from nlp_tasks.qa.data import Question
from nlp_tasks.recall.sentences import sentence_spans
from nlp_tasks.recall.text_rank import rank
from nlp_tasks.tokenization import Tokenizer, Tokens


@dataclass(frozen=True)
class Passages:
    """Passages as tokens that know their characters."""

    texts: Sequence[str]
    """The passages as they are."""

    tokens: Tokens
    """With ``spans``: the characters of each token in its passage."""

    piece: NDArray[np.int32]
    """``[total]`` number of the unbroken piece that a token belongs to, from 1 in each passage: where sentences were
    left out, a new piece begins, and no answer goes from one to the next."""

    counts: dict[str, int]
    """Passages that were shortened, or that have no token."""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Windows:
    """Rows ``[CLS] question [SEP] window [SEP]``, ordered by question and then by place in the passage."""

    inputs: Inputs
    """The rows, each an example by itself."""

    question: NDArray[np.int64]
    """``[rows]`` question of each row, ascending."""

    passage: NDArray[np.int64]
    """``[rows]`` passage of each row."""

    first: NDArray[np.int64]
    """``[rows]`` place of the window's first token among the tokens of all passages."""

    passages: Passages
    """What is read."""

    counts: dict[str, int]
    """Passages read in several windows, and questions that were shortened."""

    @property
    def width(self) -> NDArray[np.int64]:
        """``[rows]`` passage tokens of each row."""
        return self.inputs.lengths - self.inputs.second - 1

    def pieces(self, rows: Ints, seq: int) -> NDArray[np.int32]:
        """Piece of the passage that each position belongs to, int32 ``[len(rows), seq]``; 0 where it is none of it."""
        place = np.arange(seq) - self.inputs.second[rows][:, None]
        width = self.width[rows]
        inside = (place >= 0) & (place < width[:, None])
        found = np.zeros((len(rows), seq), np.int32)
        found[inside] = self.passages.piece[ranges(self.first[rows], width)]
        return found

    def characters(self, row: int, start: int, end: int) -> tuple[int, int]:
        """Characters of the passage that tokens cover: the first one, and one past the last.

        Args:
            row: The row.
            start: Position of the first token in the row.
            end: Position of the last one.
        """
        spans = self.passages.tokens.spans
        assert spans is not None
        shift = self.first[row] - self.inputs.second[row]
        return int(spans[shift + start, 0]), int(spans[shift + end, 1])


def read_passages(tokenizer: Tokenizer, texts: Sequence[str], longest: int | None = None) -> Passages:
    """Cut passages into tokens.

    Args:
        tokenizer: Cuts text into tokens.
        texts: The passages.
        longest: Tokens from which on only the sentences that TextRank finds most central are kept, as long as they fit,
            in the order of the text; None keeps everything.
    """
    tokens = tokenizer(texts, spans=True)
    piece = np.ones(len(tokens.ids), np.int32)
    counts = {"passages_without_a_token": int((tokens.lengths == 0).sum())}
    if longest is not None and (long := np.flatnonzero(tokens.lengths > longest)).size:
        kept = np.ones(len(tokens.ids), bool)
        for n in long.tolist():
            part = slice(tokens.offsets[n], tokens.offsets[n + 1])
            kept[part], piece[part] = _central(texts[n], tokens, part, longest)
        assert tokens.spans is not None
        offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)[tokens.offsets]
        tokens, piece = Tokens(tokens.ids[kept], offsets, tokens.spans[kept]), piece[kept]
        counts["passages_shortened"] = len(long)
    return Passages(texts, tokens, piece, {name: n for name, n in counts.items() if n})


def _central(text: str, tokens: Tokens, part: slice, longest: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which tokens of a long passage are kept, and the piece of each.

    Sentences are taken from the most central one down, each if it still fits; the beginning of the most central one
    where not even that does.
    """
    assert tokens.spans is not None
    ids, starts = tokens.ids[part], tokens.spans[part, 0]
    sentence = np.maximum(np.searchsorted([start for start, _ in sentence_spans(text)], starts, side="right") - 1, 0)
    numbers = np.unique(sentence)
    order = numbers[np.argsort(-rank([ids[sentence == n] for n in numbers]), kind="stable")]
    chosen: list[int] = []
    left = longest
    for n in order.tolist():
        if (size := int((sentence == n).sum())) <= left:
            chosen.append(n)
            left -= size
    kept = np.isin(sentence, chosen or order[:1])
    kept &= np.cumsum(kept) <= longest
    gap = np.diff(kept.astype(np.int8), prepend=np.int8(0)) == 1
    return kept, np.maximum(np.cumsum(gap), 1).astype(np.int32)


def read_windows(
    tokenizer: Tokenizer,
    passages: Passages,
    questions: Sequence[str],
    about: Ints,
    config: QAConfig,
    max_len: int,
) -> Windows:
    """Make the rows of questions, each about one passage; the last window of a passage ends where it does.

    Args:
        tokenizer: Cuts questions into tokens, as it did the passages.
        passages: The passages.
        questions: The questions.
        about: ``[questions]`` the passage of each.
        config: Overlap, and how much of a question is read.
        max_len: Longest row, special tokens included.
    """
    asked, own = tokenizer(questions), np.asarray(about, np.int64)
    most = min(config.max_question, (max_len - 3) // 2)
    counts = {"questions_shortened": int((asked.lengths > most).sum())}
    asked = _heads(asked, most)
    room, length = max_len - 3 - asked.lengths, passages.tokens.lengths[own]
    stride = np.maximum(1, (room * (1 - config.overlap)).astype(np.int64))
    rest = np.maximum(length - room, 0)
    count = 1 + -(-rest // stride)
    counts["read_in_windows"] = int((count > 1).sum())
    question = np.repeat(np.arange(len(asked)), count)
    number = ranges(np.zeros_like(count), count)
    begin = np.minimum(number * stride[question], rest[question])
    first = passages.tokens.offsets[own][question] + begin
    width = np.minimum(length, room)[question]
    offsets = np.concatenate([[0], np.cumsum(width)]).astype(np.int64)
    windows = Tokens(passages.tokens.ids[ranges(first, width)], offsets)
    rows = assembled(tokenizer, taken(asked, question), np.arange(len(question)), {}, windows)
    counts = {name: n for name, n in (passages.counts | counts).items() if n}
    return Windows(rows, question, own[question], first, passages, counts)


def _heads(tokens: Tokens, most: int) -> Tokens:
    """The first tokens of each text."""
    lengths = np.minimum(tokens.lengths, most)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(tokens.ids[ranges(tokens.offsets[:-1], lengths)], offsets)


@dataclass(frozen=True)
class Labels:
    """Where the answers begin and end in the rows."""

    starts: NDArray[np.int64]
    """``[rows]`` position of the answer's first token; 0, which is [CLS], where the window does not hold it whole."""

    ends: NDArray[np.int64]
    """``[rows]`` position of its last token."""

    reasons: list[str]
    """``[questions]`` why a question cannot be learned from, "" where it can."""

    counts: dict[str, int]
    """Windows with and without their answer, and answers that the tokens do not fit exactly."""


def label(windows: Windows, questions: Sequence[Question], config: QAConfig) -> Labels:
    """Find the answers in the windows.

    Args:
        windows: Rows of the questions.
        questions: The questions; one without an answer has it in no window.
        config: The settings.
    """
    tokens, texts = windows.passages.tokens, windows.passages.texts
    assert tokens.spans is not None
    # one line of characters through all passages, so that one search serves all; a gap of 1 keeps passages apart
    base = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]
    shift = np.repeat(base, tokens.lengths)
    starts, stops = tokens.spans[:, 0] + shift, tokens.spans[:, 1] + shift
    has = np.array([question.target is not None for question in questions], bool)
    targets = [question.target for question in questions]
    begin = np.array([base[q.passage] + t.start if t else -1 for q, t in zip(questions, targets, strict=True)])
    stop = np.array([b + len(t.text) if t else -1 for b, t in zip(begin, targets, strict=True)])
    first, last = np.searchsorted(stops, begin, side="right"), np.searchsorted(starts, stop, side="left") - 1
    seen = has & (first <= last)
    inside = windows.first, windows.first + windows.width
    q = windows.question
    whole = seen[q] & (inside[0] <= first[q]) & (last[q] < inside[1])
    found = np.zeros(len(questions), bool)
    found[q[whole]] = True
    reasons = [
        ""
        if not h or f
        else "the answer has no token of its own"
        if not s
        else "no window holds the whole answer (task.overlap, task.max_len)"
        for h, s, f in zip(has, seen, found, strict=True)
    ]
    place = windows.inputs.second - windows.first
    exact = (starts[first[found]] == begin[found]) & (stops[last[found]] == stop[found])
    counts = {
        "windows_with_the_answer": int(whole.sum()),
        "windows_without_it": int((~whole).sum()),
        "answers_within_a_token": int((~exact).sum()),
        "answers_longer_than_max_answer": int((last - first >= config.max_answer)[found].sum()),
    }
    return Labels(
        np.where(whole, first[q] + place, 0),
        np.where(whole, last[q] + place, 0),
        reasons,
        {name: n for name, n in counts.items() if n},
    )


def some_empty(windows: Windows, labels: Labels, answered: NDArray[np.bool_], share: float) -> Choose:
    """Draw a share of the windows without the answer anew for every epoch; all other rows are always shown.

    Args:
        windows: The training rows.
        labels: Their labels.
        answered: ``[questions]`` whether a question has an answer.
        share: In [0, 1].
    """
    return some_of((labels.ends == 0) & answered[windows.question], share)
