"""Vectors of a frozen text encoder, computed once for each text and kept on disk.

Sentence-BERT (Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084) is the usual one. The encoder comes from the
caller: nothing here knows of tokens.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.checksums import check_intact
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.item_texts.texts import text_digests
from recsys_bert.item_texts.tfidf import State

Floats = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/recsys_bert/texts``, or below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recsys_bert" / "texts"


class EncoderVectors:
    """Vectors of a text encoder.

    Args:
        source: ``list[str] -> [n, d]``, or an object with such an ``encode``. Its attribute ``digest``, text that is
            another one for other weights, lets the vectors be kept on disk and a changed encoder be noticed.
        cache: Folder of kept vectors; None: ``default_cache()``. ``""`` keeps none.
    """

    reads_ids, dim, whiten = False, 256, 1.0

    def __init__(self, source: Any = None, *, cache: str | None = None) -> None:
        if isinstance(source, str | Path):
            raise InputError(
                f"the source {str(source)!r} is a path; give the encoder itself: nlp_tasks' TextEncoder.load(path), or "
                "any function from a list of texts to vectors."
            )
        encode = getattr(source, "encode", source)
        if source is not None and not callable(encode):
            raise InputError(f"the source is a {type(source).__name__}; an encoder has `encode`, or is a function.")
        self._encode: Encode | None = encode
        digest = getattr(source, "digest", None)
        self._digest = None if digest is None else str(digest)
        self._cache = default_cache() if cache is None else Path(cache) if cache else None

    @property
    def can_encode(self) -> bool:
        """True with an encoder; what is loaded from disk has none until one is given."""
        return self._encode is not None

    def fit(self, texts: Sequence[str]) -> "EncoderVectors":
        """Nothing: the encoder is frozen.

        Raises:
            InputError: There is no encoder.
        """
        if self._encode is None:
            raise InputError("there is no encoder; give one as source.")
        if self._digest is None and self._cache is not None:
            print("the encoder has no digest, so its vectors are not kept on disk.", file=sys.stderr)
        return self

    def encode(self, texts: Sequence[str]) -> Floats:
        """``[n, d]``; zeros for empty texts. Texts that the cache has are not encoded again.

        Raises:
            InputError: There is no encoder, or it gives other shapes or numbers that are not finite.
        """
        texts = list(texts)
        filled = [text for text in dict.fromkeys(texts) if text]
        vectors = self._kept(filled) if self._digest and self._cache else self._computed(filled)
        row = {text: number for number, text in enumerate(filled)}
        table = np.vstack([vectors, np.zeros((1, vectors.shape[1]), np.float32)])
        encoded: Floats = table[[row.get(text, len(filled)) for text in texts]]
        return encoded

    def _kept(self, texts: list[str]) -> Floats:
        """Vectors of distinct texts, from the cache where it has them; it gets the others."""
        assert self._cache is not None
        assert self._digest is not None
        folder = self._cache / self._digest[:32]
        keys, cached = text_digests(texts), _read(folder)
        known, table = cached if cached is not None else (np.zeros(0, np.uint64), np.zeros((0, 0), np.float32))
        new = np.flatnonzero(~np.isin(keys, known))
        if len(new):
            computed = self._computed([texts[number] for number in new])
            table = np.vstack([table, computed]) if len(table) else computed
            known = np.concatenate([known, keys[new]])
            try:
                with replacing(folder, sealed=True) as temporary:
                    temporary.mkdir()
                    np.save(temporary / "texts.npy", known)
                    np.save(temporary / "vectors.npy", table)
            except InputError as error:
                print(f"the vectors of texts are not kept: {error}", file=sys.stderr)
        order = np.argsort(known)
        rows: Floats = table[order[np.searchsorted(known, keys, sorter=order)]]
        return rows

    def _computed(self, texts: list[str]) -> Floats:
        if self._encode is None:
            raise InputError("these vectors came from a text encoder that is not at hand; give it as source.")
        vectors = np.asarray(self._encode(texts), np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise InputError(
                f"the encoder gave an array {list(vectors.shape)} for {len(texts):,} texts; needed are finite vectors "
                "[texts, width]."
            )
        return vectors

    def state(self) -> State:
        """Digest of the encoder; its weights stay where they are."""
        return {"encoder": [self._digest or ""]}

    def restore(self, state: State) -> "EncoderVectors":
        """Take up what ``state`` gave.

        Raises:
            InputError: The encoder that is at hand is another one.
        """
        (digest,) = state["encoder"]
        if self._encode is not None and digest and self._digest not in (None, digest):
            raise InputError(
                f"the text encoder changed since the vectors were made: its digest is {self._digest}, theirs {digest}. "
                "Give the encoder of then, or make the vectors again."
            )
        return self


def _read(folder: Path) -> tuple[NDArray[np.uint64], Floats] | None:
    """Digests and vectors that a cache holds; None where it is missing or damaged."""
    if not folder.is_dir():
        return None
    try:
        check_intact(folder, "encode the texts again")
        return np.load(folder / "texts.npy"), np.load(folder / "vectors.npy")
    except (InputError, OSError, ValueError) as error:
        print(f"the kept vectors in {folder} are not used and are made again: {error}", file=sys.stderr)
        return None
