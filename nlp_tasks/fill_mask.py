"""The most probable tokens in a text's gap, by an encoder that was pretrained on masked tokens."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlp_tasks.examples import text_list
from nlp_tasks.inputs import Inputs, assembled, offsets_of
from nlp_tasks.model import outputs
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer, Tokens
from recsys_bert.errors import InputError
from recsys_bert.objectives.token_prediction import at


class Filling(NamedTuple):
    """A token for a gap."""

    token: str
    """As it stands in the vocabulary."""

    score: float
    """Its probability among all tokens but special ones."""


def fill_mask(encoder: TextEncoder, texts: Iterable[str], k: int = 5, *, tied: bool = False) -> list[list[Filling]]:
    """Most probable tokens for the mask of each text, the best first.

    Args:
        encoder: Text encoder with a masked-token head.
        texts: Texts with the tokenizer's mask once, such as ``[MASK]``.
        k: Tokens for each.
        tied: Take the token table alone as the output, of an encoder without that head that was pretrained so.

    Raises:
        InputError: The encoder has no such output, a text has no mask or several, or is too long.
    """
    if encoder.masked_head is None and not tied:
        raise InputError(
            "the encoder has no masked-token head, so it cannot fill a gap. Take a run of `text pretrain`, or a folder "
            "of a masked language model of Hugging Face."
        )
    tokenizer = encoder.tokenizer
    if not 1 <= k <= tokenizer.size:
        raise InputError(f"k is {k}; it must be 1 to {tokenizer.size:,}, the number of tokens.")
    inputs = _with_gaps(tokenizer, text_list(texts), encoder.encoder.config.max_len)
    if not len(inputs):
        return []
    special = torch.tensor(sorted({0, tokenizer.unk, tokenizer.cls, tokenizer.sep, tokenizer.mask}))

    def best(batch: dict[str, Tensor]) -> Tensor:
        gaps = (batch["tokens"] == tokenizer.mask).flatten().nonzero()[:, 0]
        logits = _logits(encoder, at(encoder.model.encode(batch).tokens, gaps))
        probabilities = logits.float().index_fill(1, special.to(logits.device), -torch.inf).softmax(dim=1)
        scores, rows = probabilities.topk(k, dim=1)
        return torch.cat([scores, rows.to(scores.dtype)], dim=1)  # rows are exact below 2 ** 24

    both = outputs(encoder.model, inputs, "filling gaps", forward=best)
    return [
        [Filling(token, float(score)) for token, score in zip(tokenizer.tokens(rows.astype(int)), scores, strict=True)]
        for scores, rows in zip(both[:, :k], both[:, k:], strict=True)
    ]


def _logits(encoder: TextEncoder, hidden: Tensor) -> Tensor:
    """Logits ``[n, tokens]`` of hidden states ``[n, dim]``."""
    head, table = encoder.masked_head, encoder.encoder.embeddings.token.weight
    if head is None:
        return encoder.encoder.project(hidden) @ table.T
    head = head.to(table.device)
    logits: Tensor = head(hidden) @ table.T + head.bias
    return logits


def _with_gaps(tokenizer: Tokenizer, texts: list[str], longest: int) -> Inputs:
    """Texts as rows; the mask is the only special token that is read in them."""
    mask = tokenizer.tokens([tokenizer.mask])[0]
    parts = [text.split(mask) for text in texts]
    for row, part in enumerate(parts):
        if len(part) != 2:
            raise InputError(f"texts[{row}] has {len(part) - 1} masks; write {mask} once, for the missing token.")
    before = tokenizer([part[0].rstrip() for part in parts])  # a blank before the mask belongs to it
    after = tokenizer([part[1] for part in parts])
    offsets = offsets_of(before.lengths + 1 + after.lengths)
    ids: NDArray[np.int32] = np.full(offsets[-1], tokenizer.mask, np.int32)
    for row in range(len(texts)):
        gap = offsets[row] + before.lengths[row]
        ids[offsets[row] : gap] = before.ids[before.offsets[row] : before.offsets[row + 1]]
        ids[gap + 1 : offsets[row + 1]] = after.ids[after.offsets[row] : after.offsets[row + 1]]
    inputs = assembled(tokenizer, Tokens(ids, offsets), np.arange(len(texts)), {})
    lengths = np.diff(inputs.offsets)
    if len(lengths) and lengths.max() > longest:
        row = int(lengths.argmax())
        raise InputError(f"texts[{row}] has {lengths[row]:,} tokens, the encoder reads {longest:,}; shorten it.")
    return inputs
