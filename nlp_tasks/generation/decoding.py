"""Decoding of texts: rows of sources or prompts in, texts out, in batches of like length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from nlp_tasks.generation.texts import pieces, text_of
from nlp_tasks.inputs import Inputs
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.decoding.constraints import Vocabulary
from recsys_bert.decoding.decode import decode, stream
from recsys_bert.decoding.encoder_tokens import EncoderTokens
from recsys_bert.decoding.trie import Trie
from recsys_bert.encoder.model import Encoder
from recsys_bert.progress import Progress

_ROWS = 256  # beams or samples generated at a time


@dataclass(frozen=True)
class Generated:
    """A generated text."""

    text: str
    """The text."""

    log_probability: float
    """Sum over its tokens, the one that ends it included, after penalties."""

    finished: bool
    """True if it ended by itself, False if at the maximum length."""


class TextDecoder:
    """Generates texts by a trained encoder.

    Args:
        encoder: With prefix attention for sources, causal for prompts.
        tokenizer: Its tokenizer.
        config: The search.
        among: Texts of which one is to be generated; None: any text.

    Raises:
        InputError: ``among`` is empty, or one of its texts has no token.
    """

    def __init__(
        self, encoder: Encoder, tokenizer: Tokenizer, config: DecodingConfig, among: Sequence[str] | None = None
    ) -> None:
        self.encoder, self.tokenizer, self.config = encoder, tokenizer, config
        special = {0, tokenizer.unk, tokenizer.cls, tokenizer.mask, *range(tokenizer.size, encoder.config.vocab_size)}
        forbidden = tuple(sorted(special - {tokenizer.sep}))
        self.vocabulary = Vocabulary(stop=(tokenizer.sep,), forbidden=forbidden)
        self.trie = None
        if among is not None:
            tokens = tokenizer(among)
            ends = zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
            self.trie = Trie(tokens.ids[start:stop].tolist() for start, stop in ends)

    def generate(self, inputs: Inputs) -> list[list[Generated]]:
        """Generate the best texts of each row, the best first."""
        texts: list[list[Generated]] = [[] for _ in range(len(inputs))]
        order = np.argsort(-inputs.lengths, kind="stable")
        at_once = max(1, _ROWS // (self.config.beams if self.config.search == "beam" else self.config.n_best))
        with Progress("generating", len(inputs), "texts") as progress:
            for start in range(0, len(order), at_once):
                numbers = order[start : start + at_once].tolist()
                rows = [_row(inputs, number) for number in numbers]
                best = decode(
                    self._tokens(rows),
                    self.config,
                    self.vocabulary,
                    trie=self.trie,
                    history=self._history(rows),
                    numbers=numbers,
                )
                for number, hypotheses in zip(numbers, best, strict=True):
                    texts[number] = [
                        Generated(text_of(self.tokenizer, one.tokens), one.log_probability, one.finished)
                        for one in hypotheses
                    ]
                progress.advance(len(numbers))
        return texts

    def stream(self, inputs: Inputs) -> Iterator[str]:
        """Generate one text of the first row, and yield it piece by piece."""
        rows = [_row(inputs, 0)]
        history = self._history(rows)
        steps = stream(self._tokens(rows), self.config, self.vocabulary, trie=self.trie, history=history)
        stop = self.vocabulary.stop
        return pieces(self.tokenizer, (step.token for step in steps if step.token not in stop))

    def _tokens(self, rows: list[list[int]]) -> EncoderTokens:
        segment = 1 if self.encoder.config.attention == "prefix" else 0
        return EncoderTokens(self.encoder, self._logits, rows, self.config.max_length, segment=segment)

    def _history(self, rows: list[list[int]]) -> list[list[int]] | None:
        """Tokens that penalties count: a prompt is part of the text, a source is not."""
        return None if self.encoder.config.attention == "prefix" else [row[1:] for row in rows]

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.encoder.project(hidden) @ self.encoder.embeddings.token.weight.T


def _row(inputs: Inputs, number: int) -> list[int]:
    tokens: list[int] = inputs.ids[inputs.offsets[number] : inputs.offsets[number + 1]].tolist()
    return tokens
