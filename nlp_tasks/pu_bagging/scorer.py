"""PU bagging of texts (Mordelet & Vert 2014, https://arxiv.org/abs/1010.0772)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.examples import text_list
from nlp_tasks.normalisation import normalise
from nlp_tasks.pu_bagging.config import PUBaggingConfig
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.errors import InputError
from recsys_bert.evaluation.classification import auc
from recsys_bert.positive_unlabelled.bagging import BaggingPU
from recsys_bert.positive_unlabelled.prior import class_prior
from recsys_bert.progress import step
from recsys_bert.settings import make_config

_SAMPLE = 2000  # texts by which Chinese is detected
_FOLDS = 5


@dataclass(frozen=True)
class PUScores:
    """Scores of unlabelled texts."""

    scores: NDArray[np.float64]
    """``[unlabelled]``, in [0, 1]: mean probability by the classifiers that did not train on the text. They rank texts;
    they are not calibrated, since the classifiers see positives and negatives in equal parts."""

    prior: float | None
    """Estimated share of positives among the unlabelled texts, if the known ones are a random part of all positives;
    None with fewer than five positives or five unlabelled texts."""

    holdout_auc: float | None
    """AUC of hidden positives against the unlabelled texts, too low by the positives among these; None without."""


def score_unlabelled(
    positives: Sequence[str],
    unlabelled: Sequence[str],
    *,
    config: PUBaggingConfig | None = None,
    **settings: Any,
) -> PUScores:
    """Score unlabelled texts by PU bagging: many classifiers of the positives against small samples of the others.

    Args:
        positives: Texts that are known as positive.
        unlabelled: Texts that may be either.
        config: All settings as one object.
        **settings: Settings by name, in place of ``config``.

    Raises:
        InputError: There is no positive, no unlabelled text, or settings do not fit.
    """
    settled = make_config(PUBaggingConfig, config, settings)
    positives, unlabelled = text_list(positives, "positives"), text_list(unlabelled, "unlabelled")
    for name, some in (("positives", positives), ("unlabelled", unlabelled)):
        if not some:
            raise InputError(f"{name} must be a list of at least one text.")
    texts = list(map(normalise, [*positives, *unlabelled]))
    labelled = np.arange(len(texts)) < len(positives)
    features = text_features(texts, settled)
    holdout_auc = _holdout_auc(features, labelled, settled)
    scores = _scores(features, labelled, settled)[~labelled]
    return PUScores(scores, _prior(features, labelled), holdout_auc)


def text_features(texts: Sequence[str], config: PUBaggingConfig) -> Any:
    """Features of texts, ``[n, features]``: sparse TF-IDF, or dense vectors of unit length."""
    if config.init is not None:
        return _encoder_features(config.init, texts)
    from sklearn.feature_extraction.text import TfidfVectorizer

    chinese = mostly_chinese(texts[:_SAMPLE])
    characters = config.analyzer == "characters" or (config.analyzer == "auto" and chinese)
    vectorizer = TfidfVectorizer(
        analyzer="char" if characters else "word",
        token_pattern=None if characters else r"(?u)\b\w+\b",  # words of one letter, too
        ngram_range=(1, config.ngrams),
        sublinear_tf=True,
    )
    with step("computing TF-IDF"):
        try:
            return vectorizer.fit_transform(texts)
        except ValueError as error:
            raise InputError("the texts hold no word; set analyzer = 'characters'.") from error


def _encoder_features(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of unit length, ``[n, dim]``."""
    vectors = TextEncoder.load(folder).encode(texts)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)


def _scores(features: Any, labelled: NDArray[np.bool_], config: PUBaggingConfig) -> NDArray[np.float64]:
    """Out-of-bag scores; of a text that every classifier saw, the mean over all."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    classifier: Any = DecisionTreeClassifier()
    if config.classifier == "logistic":
        classifier = LogisticRegression(C=10.0, max_iter=1000)
    bagging = BaggingPU(
        classifier, n_estimators=config.n_estimators, sample_size=config.sample_size, random_state=config.seed
    ).fit(features, labelled)
    scores: NDArray[np.float64] = bagging.scores_.copy()
    seen = np.flatnonzero(np.isnan(scores))
    if len(seen):
        scores[seen] = bagging.predict_proba(features[seen])[:, 1]
    return scores


def _holdout_auc(features: Any, labelled: NDArray[np.bool_], config: PUBaggingConfig) -> float | None:
    """AUC of a share of the positives, hidden among the unlabelled texts, against these."""
    positives = np.flatnonzero(labelled)
    n_hidden = round(config.holdout_share * len(positives))
    if not 0 < n_hidden < len(positives):
        return None
    hidden = np.random.default_rng(config.seed).choice(positives, n_hidden, replace=False)
    visible = labelled.copy()
    visible[hidden] = False
    scores = _scores(features, visible, config)
    return auc(labelled[~visible].astype(np.int64), scores[~visible])


def _prior(features: Any, labelled: NDArray[np.bool_]) -> float | None:
    """Share of positives among the unlabelled texts, by best bin estimation."""
    if min(labelled.sum(), (~labelled).sum()) < _FOLDS:
        return None
    with step("estimating the share of positives"):
        of_all = class_prior(features, labelled, folds=_FOLDS)
    share = float(labelled.mean())
    return max(0.0, (of_all - share) / (1 - share))
