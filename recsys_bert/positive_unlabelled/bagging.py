"""PU bagging (Mordelet & Vert 2014, https://arxiv.org/abs/1010.0772)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from recsys_bert.errors import InputError
from recsys_bert.progress import Progress


class BaggingPU(ClassifierMixin, BaseEstimator):
    """Bagging of classifiers, each fitted to all positives against a random sample of unlabelled examples.

    A small sample holds few hidden positives, and each sample others, so the mean hardly suffers from them. The
    probabilities rank examples but are not calibrated: the samples' class balance is not that of the data.

    Args:
        estimator: A scikit-learn classifier with ``predict_proba``; None takes a decision tree.
        n_estimators: Number of classifiers.
        sample_size: Unlabelled examples per classifier, sampled with replacement; None = as many as are labelled.
        random_state: Seed of the samples, and of classifiers that have a ``random_state``.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_estimators: int = 100,
        sample_size: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.sample_size = sample_size
        self.random_state = random_state

    def fit(self, X: ArrayLike, s: ArrayLike) -> "BaggingPU":
        """Fit all classifiers.

        Args:
            X: ``[n, features]``, dense or sparse.
            s: Labels ``[n]``: 1 or True = labelled positive; 0 or False = unlabelled.

        Returns:
            Itself, with ``estimators_`` and ``scores_``: the out-of-bag mean probability of an unlabelled example (NaN
            if in every bag), 1 for a labelled one.

        Raises:
            InputError: Another label, no labelled or no unlabelled example, or a setting below 1.
        """
        labels = np.asarray(s)
        if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
            raise InputError("the labels of PU learning are 1 for positive and 0 for unlabelled, one an example.")
        examples: Any = X if hasattr(X, "shape") else np.asarray(X)
        if issparse(examples):
            examples = examples.tocsr()  # other formats cannot be indexed by rows
        if examples.shape[0] != len(labels):
            raise InputError(f"{examples.shape[0]:,} examples have {len(labels):,} labels; they must be as many.")
        positive, unlabelled = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
        size = len(positive) if self.sample_size is None else self.sample_size
        if not len(positive) or not len(unlabelled):
            raise InputError(f"{len(positive):,} examples are labelled, {len(unlabelled):,} are not; both are needed.")
        if size < 1 or self.n_estimators < 1:
            raise InputError(f"sample_size is {size}, n_estimators {self.n_estimators}; both must be at least 1.")
        self.classes_, self.estimators_ = np.array([0, 1]), []
        sums, counts = np.zeros(len(labels)), np.zeros(len(labels))
        random = np.random.default_rng(self.random_state)
        with Progress("bagging", self.n_estimators, "classifiers") as progress:
            for _ in range(self.n_estimators):
                sample = random.choice(unlabelled, size)
                model = self._estimator(int(random.integers(2**31)))
                rows = np.concatenate([positive, sample])
                model.fit(examples[rows], np.concatenate([np.ones(len(positive), int), np.zeros(size, int)]))
                self.estimators_.append(model)
                out = np.setdiff1d(unlabelled, sample)
                if len(out):
                    sums[out] += model.predict_proba(examples[out])[:, 1]
                    counts[out] += 1
                progress.advance()
        sums[positive] = counts[positive] = 1
        self.scores_ = np.divide(sums, counts, out=np.full(len(labels), np.nan), where=counts > 0)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean probability over all classifiers, ``[n, 2]``: negative, positive."""
        check_is_fitted(self)
        means: NDArray[np.float64] = np.mean([one.predict_proba(X) for one in self.estimators_], axis=0)
        return means

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Predict 1 for positive, ``[n]``."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(np.int64)

    def _estimator(self, seed: int) -> Any:
        model = clone(DecisionTreeClassifier() if self.estimator is None else self.estimator)
        return model.set_params(random_state=seed) if "random_state" in model.get_params() else model
