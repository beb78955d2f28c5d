"""Flags of decoding, where it is not that of the training."""

from dataclasses import dataclass, fields
from typing import Any

from recsys_bert.decoding.config import Search


@dataclass(frozen=True, kw_only=True)
class NewDecodingConfig:
    """Decoding of new texts; None: as in training, or the default where another search is named."""

    search: Search | None = None
    """``greedy``, ``beam`` or ``sample``."""

    beams: int | None = None
    """beam: sequences kept at each step."""

    length_penalty: float | None = None
    """beam: a sequence's log-probability is divided by its length to this power; 0 prefers short ones, above 1 long."""

    n_best: int | None = None
    """Texts for each input: the best of the beams, or so many samples."""

    temperature: float | None = None
    """sample: logits are divided by it; below 1 sharper, above 1 flatter."""

    top_k: int | None = None
    """sample: draw among the k most probable tokens; 0: among all."""

    top_p: float | None = None
    """sample: draw among the most probable tokens that together reach this probability; 1: among all."""

    seed: int | None = None
    """sample: seed of the draws."""

    repetition_penalty: float | None = None
    """Positive logits of tokens that have occurred are divided by it, negative ones multiplied; 1: none."""

    no_repeat_ngram: int | None = None
    """No n-gram of this length occurs twice; 0: any may."""

    min_length: int | None = None
    """Tokens before the text may end."""

    max_length: int | None = None
    """Tokens at most, the one that ends a text included."""

    @property
    def changes(self) -> dict[str, Any]:
        """Settings that were named."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
