"""Encode sequences that grow: every position once, with the keys and values of earlier ones kept."""

from dataclasses import replace

import torch
from torch import Tensor

from recsys_bert.encoder.attention import AttentionMask, visible_keys
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.key_values import CachedPositions, KeyValues
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError


class CachedEncoder:
    """Outputs of an encoder for sequences that grow by a token at a time; those of ``Encoder.forward``.

    Args:
        encoder: With causal or prefix attention; used in evaluation mode.
        capacity: Longest sequence, at most the encoder's ``max_len``.

    Raises:
        InputError: A part of the encoder looks at later positions or keeps nothing that could be cached.
    """

    def __init__(self, encoder: Encoder, capacity: int) -> None:
        check_cacheable(encoder)
        if not 1 <= capacity <= encoder.config.max_len:
            raise InputError(f"{capacity} positions are asked for; this encoder reads 1 to {encoder.config.max_len}.")
        self.encoder, self.capacity = encoder.eval(), capacity
        self.stores = [KeyValues(capacity) for _ in encoder.layers_in_order()]
        self.lengths: Tensor | None = None
        self.longest = 0
        self._same_length = True

    @torch.no_grad()
    def begin(self, tokens: Tensor, *, segments: Tensor | None = None, prefix: Tensor | None = None) -> Tensor:
        """Encode the beginning of each sequence.

        Args:
            tokens: int64 ``[batch, seq]``, padded on the right with 0.
            segments: ``[batch, seq]``; None: segment 0.
            prefix: int64 ``[batch]``, positions that see each other both ways; required iff attention is ``prefix``.

        Returns:
            ``[batch, seq, out_dim]``; undefined on padding.

        Raises:
            InputError: Sequences are already begun, too long, or without a token; or see ``Encoder.forward``.
        """
        if self.longest:
            raise InputError("these sequences are begun already; make a new CachedEncoder for others.")
        mask, _ = self.encoder.check_tokens(tokens)
        self.encoder.check_prefix(mask, prefix)
        lengths = mask.sum(1)
        if not len(tokens) or not bool((lengths > 0).all()):
            raise InputError("a sequence has no token to begin with; give each at least one.")
        position = torch.arange(tokens.shape[1], device=tokens.device)[None].expand(len(tokens), -1)
        self._check_room(tokens.shape[1])
        outputs = self._encode(
            tokens, position, 0, tokens.shape[1], segments, visible_keys(position, tokens.shape[1], prefix)
        )
        self.lengths, self.longest = lengths, int(lengths.max())
        self._same_length = bool((lengths == self.longest).all())
        return outputs

    @torch.no_grad()
    def step(self, tokens: Tensor, *, segments: Tensor | None = None) -> Tensor:
        """Append a token to each sequence.

        Args:
            tokens: int64 ``[batch]``.
            segments: ``[batch]``; None: segment 0.

        Returns:
            Outputs at the new positions, ``[batch, out_dim]``.

        Raises:
            InputError: Nothing was begun, or the capacity is used up.
        """
        if self.lengths is None:
            raise InputError("no sequence was begun; call begin first.")
        self._check_room(self.longest + 1)
        position, n_keys = self.lengths[:, None], self.longest + 1
        first = self.longest if self._same_length else None
        visible = None if self._same_length else visible_keys(position, n_keys)
        outputs = self._encode(
            tokens[:, None], position, first, n_keys, None if segments is None else segments[:, None], visible
        )
        self.lengths, self.longest = self.lengths + 1, n_keys
        return outputs[:, 0]

    def select(self, rows: Tensor) -> None:
        """Keep these sequences, int64 ``[n]``, in this order; one may come several times."""
        if self.lengths is None:
            raise InputError("no sequence was begun; call begin first.")
        for store in self.stores:
            store.select(rows, self.longest)
        self.lengths = self.lengths[rows]

    def _check_room(self, seq: int) -> None:
        if seq > self.capacity:
            raise InputError(f"a sequence has {seq} positions; there is room for {self.capacity}.")

    def _encode(
        self,
        tokens: Tensor,
        position: Tensor,
        first: int | None,
        n_keys: int,
        segments: Tensor | None,
        visible: Tensor | None,
    ) -> Tensor:
        encoder, state = self.encoder, None
        mask = AttentionMask(False, relative=encoder.relative, visible=visible)
        x = encoder.embeddings(tokens, tokens != 0, segments, None, position=position)
        states = [x]
        for layer, store in zip(encoder.layers_in_order(), self.stores, strict=True):
            cache = CachedPositions(position, first, n_keys, store)
            x, state = layer(x, replace(mask, cache=cache), state)
            states.append(x)
        outputs: Tensor = encoder.norm(encoder.fusion(states))
        return outputs


def check_cacheable(encoder: Encoder) -> None:
    """Refuse an encoder that cannot encode a position once and for all.

    Raises:
        InputError: The message names the part and what to do.
    """
    config = encoder.config
    if reason := _looks_ahead(config):
        raise InputError(f"this encoder cannot generate: {reason}.")
    if any(not getattr(layer, "cacheable", False) for layer in encoder.layers):
        raise InputError(
            f"this encoder cannot generate: layer {config.layer!r} keeps no keys and values. Choose another one, such "
            "as 'pre_norm' or 'bert'."
        )


def _looks_ahead(config: EncoderConfig) -> str:
    """Reason why an appended token changes outputs, or needs more than keys and values; "" if there is none."""
    reasons = {
        "attention is 'bidirectional', so that every output changes with each token; train with 'causal' or 'prefix'": (
            config.attention == "bidirectional"
        ),
        "position is 'last', counted from the last token, which moves with each token; choose 'start', 'rope', 'alibi' "
        "or 'none'": config.position == "last",
        f"neck {config.neck!r} keeps no state; leave it out": config.neck != "none",
        "ngrams look at tokens before, of which no cache is kept; leave them out": config.ngrams > 1,
        "it reads times, which a token to come does not have; leave out times and time_gaps": config.needs_times,
        "it reads side features, which a token to come does not have; leave them out": bool(config.features),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
