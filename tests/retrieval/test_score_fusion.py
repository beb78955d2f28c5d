"""Score fusion is the run's inner products plus what counts add, by brute force."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval import score_fusion as module
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.fusion_files import is_score_fusion, load_score_fusion, save_score_fusion, trained_runs
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.retrieval.ranker import search
from recsys_bert.retrieval.recency import Recency
from recsys_bert.retrieval.score_fusion import ScoreFusion
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, save_encoder

K = 7


@pytest.fixture
def run(side_log, encoder, tmp_path):
    """A run folder with an encoder of random weights."""
    prediction = TokenPrediction(encoder(), LossConfig(), first_row=side_log.vocabulary.first_item).eval()
    (tmp_path / "runs" / "one").mkdir(parents=True)
    save_encoder(tmp_path / "runs" / "one" / "encoder", PretrainedEncoder(prediction, "next_item"), side_log)
    return tmp_path / "runs" / "one"


@pytest.fixture
def fused(side_log, run):
    """Score fusion of the run with counts of few events so that most items are not raised."""
    counts = CoOccurrence(last=2, window=1).fit(side_log)
    return ScoreFusion(load_ranker(run, side_log), counts, weight=0.7, smoothing=0.02)


def brute(fused, dataset, queries, *, exclude_seen):
    """Scores of all items for all users, -inf for what is left out."""
    scores = fused.user_vectors(queries) @ fused.item_vectors().T
    data = dataset.histories
    for i, (start, stop) in enumerate(zip(queries.start, queries.stop, strict=True)):
        history = data.items[start:stop]
        counted = np.zeros(scores.shape[1])
        for age, row in enumerate(history[::-1][: fused.counts.last]):
            for user in range(data.n_users):
                trained = data.items[data.offsets[user] : data.train_end[user]]
                for at, before in enumerate(trained):
                    for gap, after in enumerate(trained[at + 1 : at + 1 + fused.counts.window], start=1):
                        counted[after] += (before == row) * fused.counts.decay**age / gap
        if counted.any():
            scores[i] += fused.weight * np.log(1 + counted / counted.sum() / fused.smoothing)
        if exclude_seen:
            scores[i, history] = -np.inf
    scores[:, : fused.first_item] = -np.inf
    return scores


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("dense", [10**6, 1], ids=["product of all", "pair by pair"])
@pytest.mark.usefixtures("in_float32")
def test_lists_are_those_of_all_scores(side_log, fused, exclude_seen, dense, monkeypatch):
    monkeypatch.setattr(module, "_DENSE", dense)
    monkeypatch.setattr(module, "_QUERIES", 7)
    monkeypatch.setattr("recsys_bert.retrieval.exact._PAIRS", 11)
    queries = Queries.of(side_log, "test")
    expected = brute(fused, side_log, queries, exclude_seen=exclude_seen)
    seen = queries.seen() if exclude_seen else None
    rows, scores = search(fused, queries, K, seen)
    best = np.argsort(-expected, axis=1)[:, :K]
    best_scores = np.take_along_axis(expected, best, 1)
    np.testing.assert_allclose(scores, best_scores, rtol=1e-4)
    np.testing.assert_array_equal(rows, np.where(np.isfinite(best_scores), best, -1))
    np.testing.assert_array_equal(fused.rank(queries, K, exclude_seen), rows)
    alone = fused.ranker.rank(queries, K, exclude_seen)
    assert 0.05 < (alone != rows).mean() < 0.95


@pytest.mark.usefixtures("in_float32")
def test_an_exact_index_finds_the_same(side_log, fused):
    items, first = fused.item_vectors(), fused.first_item
    index = ItemIndex.build(items[first:], np.arange(first, len(items)))
    queries = Queries.of(side_log, "test")
    rows, scores = search(fused, queries, K, queries.seen(), index)
    expected = search(fused, queries, K, queries.seen())
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_allclose(scores, expected[1], rtol=1e-4)


@pytest.mark.usefixtures("in_float32")
def test_short_lists_stay_short(side_log, fused):
    n_items = len(fused.item_vectors()) - fused.first_item
    queries = Queries.of(side_log, "test")
    rows, scores = search(fused, queries, n_items, queries.seen())
    expected = brute(fused, side_log, queries, exclude_seen=True)
    np.testing.assert_array_equal((rows >= 0).sum(1), np.isfinite(expected).sum(1))
    assert (scores[rows < 0] == -np.inf).all()
    for listed, best_scores in zip(rows, np.argsort(-expected, axis=1), strict=True):
        listed = listed[listed >= 0]
        np.testing.assert_array_equal(listed, best_scores[: len(listed)])


def test_a_history_of_which_nothing_is_known(side_log, fused):
    """An item without training events says nothing; the run alone answers."""
    queries = Queries.from_lists([[1], [side_log.vocabulary.size + 1]])
    np.testing.assert_array_equal(fused.rank(queries, K), fused.ranker.rank(queries, K))


def test_saved_beside_its_run_both_move(side_log, fused, run, tmp_path):
    out, about = run.parent / "both", {"prepared": side_log.fingerprint}
    save_score_fusion(out / "score_fusion", out / "score_fusion", [run], fused, about)
    (tmp_path / "elsewhere").mkdir()
    run.parent.rename(tmp_path / "elsewhere" / "runs")
    out, run = (tmp_path / "elsewhere" / "runs" / name for name in ("both", "one"))
    assert is_score_fusion(out)
    assert not is_score_fusion(run)
    assert trained_runs(out) == trained_runs(run) == [run]
    again, queries = load_ranker(out, side_log), Queries.of(side_log, "test")
    assert again.name == "both"
    np.testing.assert_array_equal(again.rank(queries, K), fused.rank(queries, K))
    again.precision = "fp32"
    assert again.ranker.precision == "fp32"
    (out / "score_fusion" / "after.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"after\.npz is damaged"):
        load_ranker(out, side_log)


def test_another_log_is_refused(side_log, fused, run, tmp_path):
    out = tmp_path / "both"
    save_score_fusion(out / "score_fusion", out / "score_fusion", [run], fused, {"prepared": "of another one"})
    with pytest.raises(InputError, match="was trained on the vocabulary"):
        load_score_fusion(out, [fused.ranker], side_log)


@pytest.mark.parametrize(("weight", "smoothing"), [(0.0, 1e-3), (1.0, -1.0), (float("nan"), 1e-3), (1.0, float("inf"))])
def test_numbers_that_cannot_be(fused, weight, smoothing):
    assert isinstance(fused.ranker, EncoderRanker)
    with pytest.raises(InputError, match="both must be above 0"):
        ScoreFusion(fused.ranker, fused.counts, weight=weight, smoothing=smoothing)


@pytest.mark.parametrize("kernel", ["half_life", "window"])
@pytest.mark.usefixtures("in_float32")
def test_recency_adds_what_the_formula_says(side_log, fused, kernel):
    recency = Recency(kernel=kernel, days=0.05, weight=1.5, smoothing=0.01)
    data, first = side_log.histories, side_log.vocabulary.first_item
    end = max(data.times[data.offsets[user] : data.train_end[user]].max() for user in range(data.n_users))
    share = np.zeros(fused.shape[0])
    for user in range(data.n_users):
        for at in range(data.offsets[user], data.train_end[user]):
            age = (end - data.times[at]) / 86_400
            share[data.items[at]] += 0.5 ** (age / 0.05) if kernel == "half_life" else age <= 0.05
    share[:first] = 0
    gain = 1.5 * np.log(1 + share / share.sum() / 0.01)
    assert len(set(gain[first:])) > 3
    queries = Queries.of(side_log, "test")
    both = ScoreFusion(
        fused.ranker, fused.counts, weight=0.7, smoothing=0.02, recent=recency.gains(side_log, fused.shape[0])
    )
    expected = brute(fused, side_log, queries, exclude_seen=True) + gain
    rows, scores = search(both, queries, K, queries.seen())
    best = np.argsort(-expected, axis=1)[:, :K]
    np.testing.assert_allclose(scores, np.take_along_axis(expected, best, 1), rtol=1e-4)
    np.testing.assert_array_equal(rows, np.where(np.isfinite(np.take_along_axis(expected, best, 1)), best, -1))
    query, row = np.nonzero(rows >= 0)
    pairs = both.user_vectors(queries)[query] * both.item_vectors()[rows[query, row]]
    gains = both.gains(queries, query, rows[query, row].astype(np.int64))
    np.testing.assert_allclose(pairs.sum(1) + gains, scores[query, row], rtol=1e-4)


def test_allowed_rows_bound_what_counts_lift(side_log, fused):
    queries = Queries.of(side_log, "test")
    allowed = np.random.default_rng(0).random(side_log.n_rows) < 0.5
    expected = brute(fused, side_log, queries, exclude_seen=True)
    expected[:, ~allowed[: expected.shape[1]]] = -np.inf
    rows, _ = search(fused, queries, 4, queries.seen(), None, allowed)
    best = np.argsort(-expected, axis=1)[:, :4]
    np.testing.assert_array_equal(rows, np.where(np.isfinite(np.take_along_axis(expected, best, 1)), best, -1))


def test_recency_needs_times_and_positive_numbers(side_log):
    with pytest.raises(InputError, match="recency's days is 0"):
        Recency(kernel="window", days=0, weight=1, smoothing=1)
    timeless = replace(side_log, manifest=replace(side_log.manifest, has_times=False))
    with pytest.raises(InputError, match="recency needs times and this log has none"):
        Recency(kernel="window", days=1, weight=1, smoothing=1).gains(timeless, 10)
