"""Rows for an encoder from questions and passages: sliding windows, with the characters of every token."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.batches import Choose, some_of
from nlp_tasks.inputs import Inputs, Ints, assembled, ranges, select_texts
from nlp_tasks.qa.config import QAConfig
from nlp_tasks.qa.data import Question
from nlp_tasks.recall.sentences import sentence_spans
from nlp_tasks.recall.text_rank import rank
from nlp_tasks.tokenization import Tokenizer, Tokens


@dataclass(frozen=True)
class Passages:
    """Passages as tokens with their characters."""

    texts: Sequence[str]
    """The passages."""

    tokens: Tokens
    """With ``spans``: the characters of each token in its passage."""

    piece: NDArray[np.int32]
    """``[total]`` number of the contiguous piece of each token, from 1 in each passage: a new piece begins where
    sentences were left out, and no answer spans two."""

    counts: dict[str, int]
    """Number of passages shortened, or without a token."""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Windows:
    """Rows ``[CLS] question [SEP] window [SEP]``, ordered by question and then by position in the passage."""

    inputs: Inputs
    """The rows, each an example by itself."""

    question: NDArray[np.int64]
    """``[rows]`` question of each row, ascending."""

    passage: NDArray[np.int64]
    """``[rows]`` passage of each row."""

    first: NDArray[np.int64]
    """``[rows]`` index of the window's first token among the tokens of all passages."""

    passages: Passages
    """The passages."""

    counts: dict[str, int]
    """Number of passages read in several windows, and of questions shortened."""

    @property
    def width(self) -> NDArray[np.int64]:
        """``[rows]`` passage tokens of each row."""
        return self.inputs.lengths - self.inputs.second - 1

    def pieces(self, rows: Ints, seq: int) -> NDArray[np.int32]:
        """Piece of the passage at each position, int32 ``[len(rows), seq]``; 0 outside the passage."""
        position = np.arange(seq) - self.inputs.second[rows][:, None]
        width = self.width[rows]
        inside = (position >= 0) & (position < width[:, None])
        pieces = np.zeros((len(rows), seq), np.int32)
        pieces[inside] = self.passages.piece[ranges(self.first[rows], width)]
        return pieces

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
        longest: Longest passage in tokens; of a longer one, the sentences that TextRank ranks most central remain, as
            long as they fit, in the order of the text. None shortens nothing.
    """
    tokens = tokenizer(texts, spans=True)
    piece = np.ones(len(tokens.ids), np.int32)
    counts = {"passages_without_a_token": int((tokens.lengths == 0).sum())}
    if longest is not None and (long := np.flatnonzero(tokens.lengths > longest)).size:
        mask = np.ones(len(tokens.ids), bool)
        for n in long.tolist():
            part = slice(tokens.offsets[n], tokens.offsets[n + 1])
            mask[part], piece[part] = _central(texts[n], tokens, part, longest)
        assert tokens.spans is not None
        offsets = np.concatenate([[0], np.cumsum(mask)]).astype(np.int64)[tokens.offsets]
        tokens, piece = Tokens(tokens.ids[mask], offsets, tokens.spans[mask]), piece[mask]
        counts["passages_shortened"] = len(long)
    return Passages(texts, tokens, piece, {name: n for name, n in counts.items() if n})


def _central(text: str, tokens: Tokens, part: slice, longest: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Mask of the tokens of a long passage that remain, and the piece of each.

    Sentences are selected from the most central one down, each if it still fits; the beginning of the most central one
    where not even that does.
    """
    assert tokens.spans is not None
    ids, starts = tokens.ids[part], tokens.spans[part, 0]
    sentence = np.maximum(np.searchsorted([start for start, _ in sentence_spans(text)], starts, side="right") - 1, 0)
    numbers = np.unique(sentence)
    order = numbers[np.argsort(-rank([ids[sentence == n] for n in numbers]), kind="stable")]
    selected: list[int] = []
    left = longest
    for n in order.tolist():
        if (size := int((sentence == n).sum())) <= left:
            selected.append(n)
            left -= size
    mask = np.isin(sentence, selected or order[:1])
    mask &= np.cumsum(mask) <= longest
    gap = np.diff(mask.astype(np.int8), prepend=np.int8(0)) == 1
    return mask, np.maximum(np.cumsum(gap), 1).astype(np.int32)


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
        config: Overlap, and the longest question.
        max_len: Longest row, special tokens included.
    """
    tokens, passage = tokenizer(questions), np.asarray(about, np.int64)
    free = max_len - 2 - tokenizer.separators
    most = min(config.max_question, free // 2)
    counts = {"questions_shortened": int((tokens.lengths > most).sum())}
    tokens = _heads(tokens, most)
    room, length = free - tokens.lengths, passages.tokens.lengths[passage]
    stride = np.maximum(1, (room * (1 - config.overlap)).astype(np.int64))
    rest = np.maximum(length - room, 0)
    count = 1 + -(-rest // stride)
    counts["read_in_windows"] = int((count > 1).sum())
    question = np.repeat(np.arange(len(tokens)), count)
    number = ranges(np.zeros_like(count), count)
    begin = np.minimum(number * stride[question], rest[question])
    first = passages.tokens.offsets[passage][question] + begin
    width = np.minimum(length, room)[question]
    offsets = np.concatenate([[0], np.cumsum(width)]).astype(np.int64)
    windows = Tokens(passages.tokens.ids[ranges(first, width)], offsets)
    rows = assembled(tokenizer, select_texts(tokens, question), np.arange(len(question)), {}, windows)
    counts = {name: n for name, n in (passages.counts | counts).items() if n}
    return Windows(rows, question, passage[question], first, passages, counts)


def _heads(tokens: Tokens, most: int) -> Tokens:
    """The first tokens of each text."""
    lengths = np.minimum(tokens.lengths, most)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(tokens.ids[ranges(tokens.offsets[:-1], lengths)], offsets)


@dataclass(frozen=True)
class Labels:
    """Positions of the answers in the rows."""

    starts: NDArray[np.int64]
    """``[rows]`` position of the answer's first token; 0, which is [CLS], where the window does not hold it whole."""

    ends: NDArray[np.int64]
    """``[rows]`` position of its last token."""

    reasons: list[str]
    """``[questions]`` reason why a question has no label, "" where it has one."""

    counts: dict[str, int]
    """Number of windows with and without their answer, and of answers whose ends are within a token."""


def label(windows: Windows, questions: Sequence[Question], config: QAConfig) -> Labels:
    """Label the windows with their answers.

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
    stop = np.array([b + t.stop - t.start if t else -1 for b, t in zip(begin, targets, strict=True)])
    first, last = np.searchsorted(stops, begin, side="right"), np.searchsorted(starts, stop, side="left") - 1
    seen = has & (first <= last)
    inside = windows.first, windows.first + windows.width
    q = windows.question
    whole = seen[q] & (inside[0] <= first[q]) & (last[q] < inside[1])
    labelled = np.zeros(len(questions), bool)
    labelled[q[whole]] = True
    reasons = [
        ""
        if not h or f
        else "the answer has no token of its own"
        if not s
        else "no window holds the whole answer (task.overlap, task.max_len)"
        for h, s, f in zip(has, seen, labelled, strict=True)
    ]
    shift = windows.inputs.second - windows.first
    exact = (starts[first[labelled]] == begin[labelled]) & (stops[last[labelled]] == stop[labelled])
    counts = {
        "windows_with_the_answer": int(whole.sum()),
        "windows_without_it": int((~whole).sum()),
        "answers_within_a_token": int((~exact).sum()),
        "answers_longer_than_max_answer": int((last - first >= config.max_answer)[labelled].sum()),
    }
    return Labels(
        np.where(whole, first[q] + shift, 0),
        np.where(whole, last[q] + shift, 0),
        reasons,
        {name: n for name, n in counts.items() if n},
    )


def some_empty(windows: Windows, labels: Labels, answered: NDArray[np.bool_], share: float) -> Choose:
    """Sample a share of the windows without their answer every epoch; all other rows are in every epoch.

    Args:
        windows: The training rows.
        labels: Their labels.
        answered: ``[questions]`` True for a question with an answer.
        share: In [0, 1].
    """
    return some_of((labels.ends == 0) & answered[windows.question], share)
