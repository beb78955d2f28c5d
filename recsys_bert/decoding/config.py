"""Settings of decoding; no torch in here."""

from dataclasses import dataclass
from typing import Literal, get_args

from recsys_bert.errors import InputError, unknown_name

Search = Literal["greedy", "beam", "sample"]

OF_SEARCH = {"beam": ("beams", "length_penalty"), "sample": ("temperature", "top_k", "top_p", "seed")}
"""Settings that one search alone reads."""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """Decoding: search, penalties, lengths."""

    search: Search = "beam"
    """``greedy``: the most probable token each time; ``beam``: the most probable sequence among ``beams`` kept at each
    step; ``sample``: tokens drawn by their probability."""

    beams: int = 4
    """beam: sequences kept at each step."""

    length_penalty: float = 1.0
    """beam: a sequence's log-probability is divided by its length to this power; 0 prefers short ones, above 1 long."""

    n_best: int = 1
    """Sequences returned for each input: the best of the beams, or so many samples."""

    temperature: float = 1.0
    """sample: logits are divided by it; below 1 sharper, above 1 flatter."""

    top_k: int = 0
    """sample: draw among the k most probable tokens; 0: among all."""

    top_p: float = 1.0
    """sample: draw among the most probable tokens that together reach this probability
    (nucleus, https://arxiv.org/abs/1904.09751); 1: among all."""

    seed: int = 0
    """sample: seed of the draws; an input's draws do not depend on the inputs beside it."""

    repetition_penalty: float = 1.0
    """Positive logits of tokens that have occurred are divided by it, negative ones multiplied
    (https://arxiv.org/abs/1909.05858); 1: none."""

    no_repeat_ngram: int = 0
    """No n-gram of this length occurs twice; 0: any may."""

    min_length: int = 0
    """Tokens before a stop token is allowed."""

    max_length: int = 64
    """Tokens at most, the stop token included."""

    def __post_init__(self) -> None:
        if self.search not in get_args(Search):
            raise unknown_name("search", self.search, get_args(Search))
        least = {"beams": 1, "n_best": 1, "top_k": 0, "no_repeat_ngram": 0, "min_length": 0, "max_length": 1, "seed": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {value}.")
        for name in ("temperature", "repetition_penalty"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}; it must lie in (0, 1].")
        if not -10 <= self.length_penalty <= 10:
            raise InputError(f"length_penalty is {self.length_penalty}; it must lie in [-10, 10].")
        if self.min_length > self.max_length:
            raise InputError(f"min_length is {self.min_length}, above max_length {self.max_length}.")
        self._check_read()

    def _check_read(self) -> None:
        """Refuse settings of another search."""
        for search, names in OF_SEARCH.items():
            for name in names if search != self.search else ():
                if (value := getattr(self, name)) != getattr(type(self), name):
                    raise InputError(
                        f"{name} is {value}, but search is {self.search!r}: it has no effect. Set search {search!r}, "
                        "or leave it out."
                    )
        if self.search == "greedy" and self.n_best > 1:
            raise InputError(f"n_best is {self.n_best}, but search 'greedy' finds one; choose 'beam' or 'sample'.")
        if self.search == "beam" and self.n_best > self.beams:
            raise InputError(f"n_best is {self.n_best}, more than beams {self.beams} can give; raise beams.")
