"""Settings of vectors. Plain values: importing this is instant."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Word2VecConfig:
    """Skip-gram or CBOW with negative sampling."""

    model: Literal["skip_gram", "cbow"] = "skip_gram"
    """skip_gram: a word predicts each of its neighbours; cbow: the mean of its neighbours predicts the word."""

    dim: int = 100
    """Width of a vector."""

    window: int = 5
    """Neighbours on either side at most; sampled from 1 to this for every word, so that near ones count more."""

    negatives: int = 5
    """Negative samples per target."""

    noise_power: float = 0.75
    """Exponent of the counts that negatives are sampled by; 1 samples by popularity, 0 uniformly."""

    sample: float = 1e-3
    """Share of all words above which a word is passed over more often the more frequent it is; 0 takes all."""

    epochs: int = 5
    """Passes over the text."""

    lr: float = 0.025
    """Initial learning rate; it decays linearly to 0. For cbow 0.05 is usual."""

    batch_size: int = 1024
    """Pairs of a step; for cbow, words."""

    seed: int = 1
    """Random seed."""

    def __post_init__(self) -> None:
        for name in ("dim", "window", "negatives", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"word2vec.{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("noise_power", "sample", "seed"):
            if not 0 <= getattr(self, name) < inf:
                raise InputError(f"word2vec.{name} is {getattr(self, name)}; it must be a number that is not negative.")
        if not 0 < self.lr < inf:
            raise InputError(f"word2vec.lr is {self.lr}; it must be a number above 0.")


@dataclass(frozen=True, kw_only=True)
class GloveConfig:
    """GloVe: vectors whose inner products are the logarithms of how often words stand near each other."""

    dim: int = 100
    """Width of a vector."""

    window: int = 10
    """Neighbours on either side; one at distance d counts 1 / d."""

    x_max: float = 100.0
    """Count from which on a pair of words has the full weight."""

    alpha: float = 0.75
    """A pair that occurs x < ``x_max`` times has the weight ``(x / x_max) ** alpha``."""

    epochs: int = 15
    """Passes over the pairs."""

    lr: float = 0.05
    """AdaGrad's learning rate."""

    batch_size: int = 4096
    """Pairs of a step."""

    seed: int = 1
    """Random seed."""

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"glove.{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("alpha", "seed"):
            if not 0 <= getattr(self, name) < inf:
                raise InputError(f"glove.{name} is {getattr(self, name)}; it must be a number that is not negative.")
        for name in ("lr", "x_max"):
            if not 0 < getattr(self, name) < inf:
                raise InputError(f"glove.{name} is {getattr(self, name)}; it must be a number above 0.")
