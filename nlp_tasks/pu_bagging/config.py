"""Settings of PU bagging of texts. Plain values: importing this is instant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PUBaggingConfig:
    """Settings of PU bagging (https://arxiv.org/abs/1010.0772) of texts."""

    features: Literal["tfidf", "encoder"] = "tfidf"
    """tfidf: TF-IDF of n-grams; encoder: mean of the token vectors of ``init``."""

    init: Path | None = None
    """encoder: Hugging Face folder, or run of `text pretrain` or of a text task."""

    analyzer: Literal["auto", "words", "characters"] = "auto"
    """tfidf: n-grams of words or of characters; ``auto`` takes characters for mostly Chinese text."""

    ngrams: int = 2
    """tfidf: longest n-gram."""

    classifier: Literal["logistic", "tree"] = "logistic"
    """Base classifier: logistic regression, or a decision tree as in the paper."""

    n_estimators: int = 100
    """Number of classifiers."""

    sample_size: int | None = None
    """Unlabelled texts per classifier, sampled with replacement; None: as many as there are positives."""

    holdout_share: float = 0.2
    """Share of the positives that is hidden among the unlabelled texts once, for the AUC of the scores; 0: no AUC."""

    seed: int = 0
    """Of samples and classifiers."""

    def __post_init__(self) -> None:
        if (self.features == "encoder") != (self.init is not None):
            raise InputError(
                f"features is {self.features!r}, init {self.init}; vectors of an encoder need both, TF-IDF neither: "
                "set features = 'encoder' and init, or leave out both."
            )
        if self.features == "encoder" and (self.analyzer, self.ngrams) != ("auto", 2):
            raise InputError("analyzer and ngrams are settings of TF-IDF; leave them out with features = 'encoder'.")
        for name in ("ngrams", "n_estimators"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.sample_size is not None and self.sample_size < 1:
            raise InputError(f"sample_size is {self.sample_size}; it must be at least 1.")
        if not 0 <= self.holdout_share < 1:
            raise InputError(f"holdout_share is {self.holdout_share}; it must lie in [0, 1).")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; it cannot be negative.")
