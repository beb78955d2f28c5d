import numpy as np
import pytest
from scipy.sparse import coo_array, coo_matrix, csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from recsys_bert.errors import InputError
from recsys_bert.positive_unlabelled.bagging import BaggingPU


def planted(seed=0, n=1500, seen=0.15):
    """Two blobs of positives around the negatives; a few positives are labelled."""
    random = np.random.default_rng(seed)
    true = random.random(n) < 0.4
    centre = np.where(random.random(n) < 0.5, 2.5, -2.5) * true
    x = np.stack([centre, np.zeros(n)], axis=1) + random.normal(size=(n, 2))
    return x, true, (true & (random.random(n) < seen)).astype(int)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_ranks_hidden_positives_and_new_ones(seed):
    x, true, s = planted(seed)
    model = BaggingPU(n_estimators=40, random_state=seed).fit(x, s)
    hidden = s == 0
    assert roc_auc_score(true[hidden], model.scores_[hidden]) > 0.85
    new, answers, _ = planted(seed + 10)
    bagged = roc_auc_score(answers, model.predict_proba(new)[:, 1])
    plain = roc_auc_score(answers, DecisionTreeClassifier(random_state=0).fit(x, s).predict_proba(new)[:, 1])
    assert bagged > plain + 0.1
    assert (model.scores_[s == 1] == 1).all()


def test_probabilities_are_the_mean_over_classifiers():
    x, _, s = planted(n=300)
    model = BaggingPU(LogisticRegression(), n_estimators=5, sample_size=30).fit(x, s)
    p = model.predict_proba(x)
    np.testing.assert_allclose(p, sum(one.predict_proba(x) for one in model.estimators_) / 5)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(x), p[:, 1] > 0.5)
    assert model.estimators_[0].coef_.tolist() != model.estimators_[1].coef_.tolist()


def test_scores_come_from_classifiers_that_did_not_see_the_example():
    x, _, s = planted(n=200)
    model = BaggingPU(n_estimators=1, random_state=3).fit(x, s)
    unlabelled = np.flatnonzero(s == 0)
    samples = np.random.default_rng(3).choice(unlabelled, s.sum())
    assert np.isnan(model.scores_[samples]).all()
    out = np.setdiff1d(unlabelled, samples)
    np.testing.assert_array_equal(model.scores_[out], model.predict_proba(x[out])[:, 1])


def test_it_is_a_classifier_like_any_other():
    x, _, s = planted(n=200)
    model = BaggingPU(n_estimators=3, random_state=1)
    first = clone(model).fit(x, s).predict_proba(x)
    np.testing.assert_array_equal(model.fit(csr_array(x), s.astype(bool)).predict_proba(x), first)
    for form in (coo_array, coo_matrix):
        np.testing.assert_array_equal(model.fit(form(x), s).predict_proba(form(x)), first)
    assert model.get_params()["n_estimators"] == 3
    assert model.classes_.tolist() == [0, 1]
    assert BaggingPU(n_estimators=3).fit(x.tolist(), s.tolist()).predict(x[:4]).shape == (4,)


@pytest.mark.parametrize(
    ("s", "settings", "message"),
    [
        ([1, 0, -1, 0], {}, "1 for positive and 0 for unlabelled"),
        ([1, 0], {}, "4 examples have 2 labels"),
        ([1, 1, 1, 1], {}, "4 examples are labelled, 0 are not"),
        ([0, 0, 0, 0], {}, "0 examples are labelled, 4 are not"),
        ([1, 0, 0, 0], {"sample_size": 0}, "sample_size is 0"),
        ([1, 0, 0, 0], {"n_estimators": 0}, "n_estimators 0"),
    ],
)
def test_what_cannot_be_learned(s, settings, message):
    with pytest.raises(InputError, match=message):
        BaggingPU(**settings).fit(np.zeros((4, 2)), s)
