"""An ensemble scores by the mean of its rankers' scores."""

import numpy as np
import pytest
import torch

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.ensemble import Ensemble
from recsys_bert.retrieval.ranker import search
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder

K = 7


@pytest.fixture
def ranker(side_log, encoder):
    """``ranker(seed, first_item=…, **encoder's config)`` → one of random weights."""

    def make(seed, first_item=side_log.vocabulary.first_item, **config):
        prediction = TokenPrediction(encoder(**config), LossConfig(), first_row=first_item).eval()
        torch.manual_seed(seed)
        with torch.no_grad():
            for weight in prediction.parameters():
                weight.add_(0.2 * torch.randn_like(weight))
        return EncoderRanker(PretrainedEncoder(prediction, "next_item"))

    return make


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.usefixtures("in_float32")
def test_lists_are_those_of_the_mean_score(side_log, ranker, exclude_seen):
    """Of rankers of different widths."""
    rankers, queries = [ranker(0), ranker(1), ranker(2, dim=24, n_heads=2)], Queries.of(side_log, "test")
    scores = [member.user_vectors(queries).astype(float) @ member.item_vectors().T for member in rankers]
    mean = np.mean(scores, axis=0)
    mean[:, : rankers[0].first_item] = -np.inf
    if exclude_seen:
        mean[queries.seen()] = -np.inf
    ensemble = Ensemble(rankers)
    rows, scores_of_search = search(ensemble, queries, K, queries.seen() if exclude_seen else None)
    best = np.argsort(-mean, axis=1)[:, :K]
    best_scores = np.take_along_axis(mean, best, 1)
    np.testing.assert_array_equal(rows, np.where(np.isfinite(best_scores), best, -1))
    np.testing.assert_allclose(scores_of_search, best_scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ensemble.rank(queries, K, exclude_seen), rows)
    assert (rankers[0].rank(queries, K, exclude_seen) != rows).mean() > 0.1


def test_what_holds_of_all_its_rankers(ranker):
    rankers = [ranker(0), ranker(1)]
    ensemble = Ensemble(rankers)
    ensemble.precision = "fp32"
    assert [member.precision for member in rankers] == ["fp32", "fp32"]
    assert ensemble.precision == "fp32"
    assert not ensemble.reads_times
    assert Ensemble([ranker(0), ranker(1, time_gaps=True)]).reads_times


def test_of_different_catalogues(side_log, ranker):
    with pytest.raises(InputError, match="different catalogues"):
        Ensemble([ranker(0), ranker(1, first_item=side_log.vocabulary.first_item + 1)])
    larger = ranker(1, vocab_size=len(ranker(0).item_vectors()) + 1)
    with pytest.raises(InputError, match=r"rank different numbers of items \(encoder \d+, encoder \d+ rows\)"):
        Ensemble([ranker(0), larger]).item_vectors()
