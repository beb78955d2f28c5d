import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from recsys_bert.errors import InputError
from recsys_bert.positive_unlabelled.prior import best_bin, class_prior


@pytest.mark.parametrize("prior", [0.1, 0.3, 0.6, 0.9])
def test_best_bin_finds_a_planted_prior(prior):
    for seed in range(3):
        random = np.random.default_rng(seed)
        hidden = random.random(4000) < prior
        unlabelled = np.where(hidden, random.beta(5, 2, 4000), random.beta(2, 6, 4000))
        assert best_bin(random.beta(5, 2, 1500), unlabelled) == pytest.approx(prior, abs=0.08)


def test_best_bin_by_hand():
    # above .9: all of the positives, 2 of 8; lower thresholds let in more of the others only
    assert best_bin([0.9, 0.9, 0.95], [0.9, 0.99, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1]) == pytest.approx(2 / 8)
    assert best_bin([0.5], [0.5, 0.6]) == 1.0


def test_scores_that_tell_nothing_give_no_prior_below_one():
    random = np.random.default_rng(0)
    assert best_bin(random.random(2000), random.random(2000)) > 0.9


@pytest.mark.parametrize("prior", [0.15, 0.4, 0.7])
@pytest.mark.parametrize("seen", [0.1, 0.4])
def test_the_prior_of_planted_classes(prior, seen):
    random = np.random.default_rng(1)
    true = random.random(4000) < prior
    examples = random.normal(size=(4000, 3)) + 2.0 * true[:, None]
    labelled = true & (random.random(4000) < seen)
    assert class_prior(examples, labelled) == pytest.approx(prior, abs=0.1)
    assert class_prior(examples, labelled) == class_prior(examples, labelled)


def test_another_classifier():
    random = np.random.default_rng(2)
    true = random.random(3000) < 0.4
    examples = np.where(true, 0, random.choice([-3, 3], 3000))[:, None] + random.normal(size=(3000, 1))
    labelled = true & (random.random(3000) < 0.4)
    tree = DecisionTreeClassifier(min_samples_leaf=50, random_state=0)
    assert class_prior(examples, labelled, tree) == pytest.approx(0.4, abs=0.1)
    assert class_prior(examples, labelled) > 0.6  # positives lie between others: no threshold leaves them alone


def test_too_little():
    with pytest.raises(InputError, match="from 0 labelled and 1 unlabelled"):
        best_bin([], [0.5])
    with pytest.raises(InputError, match="3 of 50 examples are labelled; 5 folds need"):
        class_prior(np.zeros((50, 1)), np.arange(50) < 3)
