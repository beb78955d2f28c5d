"""Settings of text vectors of items. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from typing import Literal

from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError
from recsys_bert.item_texts import TEXT_VECTORS


@dataclass(frozen=True, kw_only=True)
class ItemVectorsConfig:
    """Settings of text vectors of items."""

    by: str = field(default="tfidf", metadata={"names": TEXT_VECTORS})
    """Way from an item's words to its vector: ``tfidf``; ``words``, means of word vectors; ``encoder``, any text
    encoder, frozen; ``ready``, vectors from elsewhere."""

    dim: int | None = None
    """Width of the vectors; None: that of the way (tfidf 1024, encoder 256, the others as they come)."""

    reduction: Literal["auto", "sketch", "svd"] = "auto"
    """Reduction to ``dim``: ``sketch``, random signed sums, which keep all inner products nearly as they are; or
    ``svd``, the strongest directions. auto: sketch for tfidf, svd (PCA) for dense vectors."""

    whiten: float | None = None
    """Directions of ``svd`` are divided by their spread to this power, in [0, 1]; raw sentence vectors stand too close
    together and need 1. None: that of the way."""

    options: Options = field(default_factory=dict)
    """Further options of the way, as ``{model = "glove"}`` for words."""

    seed: int = 0
    """Random seed of the reduction."""

    def __post_init__(self) -> None:
        check_name("text vectors", self.by, TEXT_VECTORS)
        if self.dim is not None and self.dim < 1:
            raise InputError(f"dim is {self.dim}; it must be at least 1.")
        if self.whiten is not None and not 0 <= self.whiten <= 1:
            raise InputError(f"whiten is {self.whiten}; it must lie in [0, 1].")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; it must not be below 0.")
        if self.reduction == "sketch" and self.whiten:
            raise InputError(f"whiten is {self.whiten}, but a sketch has no directions to whiten. Leave it out.")
