"""PU bagging of texts on planted topics."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nlp_tasks.pu_bagging.config import PUBaggingConfig
from nlp_tasks.pu_bagging.scorer import score_unlabelled, text_features
from recsys_bert.errors import InputError


@pytest.fixture
def planted(topics):
    """Some texts about sport, and unlabelled texts of which a good quarter are about sport."""
    texts, labels = topics(420)
    sport = [text for text, label in zip(texts, labels, strict=True) if label == "sport"]
    others = [text for text, label in zip(texts, labels, strict=True) if label != "sport"]
    positives, hidden = sport[:40], sport[40:]
    return positives, hidden + others, np.arange(len(hidden) + len(others)) < len(hidden)


@pytest.mark.parametrize("settings", [{}, {"classifier": "tree"}, {"analyzer": "characters", "ngrams": 3}])
def test_hidden_positives_rank_first(planted, settings):
    positives, unlabelled, is_positive = planted
    result = score_unlabelled(positives, unlabelled, n_estimators=30, **settings)
    assert result.scores.shape == (len(unlabelled),)
    assert ((result.scores >= 0) & (result.scores <= 1)).all()
    assert roc_auc_score(is_positive, result.scores) > 0.95
    assert result.holdout_auc > 0.7  # the unlabelled texts hold positives: about 0.87 at best
    assert 0.5 * is_positive.mean() < result.prior < 1.6 * is_positive.mean()


def test_the_same_seed_gives_the_same_scores(planted):
    positives, unlabelled, _ = planted
    first, second, other = (
        score_unlabelled(positives, unlabelled, n_estimators=5, holdout_share=0.0, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.scores, second.scores)
    assert (first.scores != other.scores).any()
    assert first.holdout_auc is None


def test_texts_that_every_classifier_saw_have_a_score():
    result = score_unlabelled(["a ball"] * 3, ["a ball", "the soup"], n_estimators=3, sample_size=50)
    assert np.isfinite(result.scores).all()
    assert result.scores[0] > result.scores[1]
    assert result.prior is None


def test_vectors_of_an_encoder(planted, encoder, tokenizer, tmp_path):
    from nlp_tasks.encoders import save_text_encoder

    save_text_encoder(tmp_path / "encoder", encoder, tokenizer)
    positives, unlabelled, is_positive = planted
    config = PUBaggingConfig(features="encoder", init=tmp_path / "encoder", n_estimators=10)
    features = text_features(positives, config)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert roc_auc_score(is_positive, score_unlabelled(positives, unlabelled, config=config).scores) > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "encoder"}, "features is 'encoder', init None"),
        ({"init": "run"}, "features is 'tfidf', init run"),
        ({"n_estimators": 0}, "n_estimators is 0"),
        ({"sample_size": 0}, "sample_size is 0"),
        ({"holdout_share": 1.0}, r"holdout_share is 1\.0"),
        ({"seed": -1}, "seed is -1"),
        ({"estimators": 3}, "'estimators'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        score_unlabelled(["a ball"], ["the soup"], **settings)


def test_bad_texts_are_refused():
    for positives, unlabelled in (([], ["a"]), (["a"], []), ("a", ["b"])):
        with pytest.raises(InputError, match=r"must be a list of at least one text|is a single string"):
            score_unlabelled(positives, unlabelled)
    with pytest.raises(InputError, match="the texts hold no word"):
        score_unlabelled(["!"], ["?"])
