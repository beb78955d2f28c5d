import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.config import HeadConfig, LengthConfig
from nlp_tasks.matching.config import MatchingConfig
from nlp_tasks.matching.data import (
    check_both_kinds,
    match_weight,
    not_yes_or_no,
    pair_batches,
    text_ids,
    yes_or_no,
)
from nlp_tasks.matching.matcher import Matcher
from nlp_tasks.matching.model import MatchingLoss, known_matches
from nlp_tasks.model import TextModel
from recsys_bert.errors import InputError
from recsys_bert.losses.contrastive import in_batch_loss, pair_ranking_loss

FIRST = ["ball and goal", "bank", "the soup", "ball and goal"]
SECOND = ["goal", "stock price fund", "bread", "team match"]


@pytest.fixture
def matcher(encoder, tokenizer):
    def build(form):
        torch.manual_seed(1)
        model = TextModel(encoder, HeadConfig(dropout=0.0), 1 if form == "cross" else 0).eval()
        return Matcher(model, tokenizer, form, LengthConfig())

    return build


def test_labels():
    assert yes_or_no([("1",), ("0",), ("True",), ("false",)]).tolist() == [1, 0, 1, 0]
    assert not_yes_or_no([("1",), ("2",)]) == ["", "label '2' is neither 0 nor 1"]
    with pytest.raises(InputError, match="all 2 training pairs match; both kinds are needed"):
        check_both_kinds(np.ones(2, int))
    with pytest.raises(InputError, match="all 2 training pairs do not match"):
        check_both_kinds(np.zeros(2, int))
    check_both_kinds(np.array([0, 1]))


def test_equal_texts_have_one_number():
    assert text_ids(["a", "b"], ["b", "a"]).tolist() == [[0, 1], [1, 0]]
    assert text_ids([], []).shape == (0, 2)


def test_known_matches_are_kept_apart_from_hard_negatives():
    ids = torch.tensor([[0, 1], [0, 2], [0, 3], [4, 1], [1, 5]])
    match = torch.tensor([True, True, False, True, True])
    known = {frozenset(pair) for pair in [(0, 1), (0, 2), (4, 1), (1, 5)]}
    expected = [[a == b or frozenset((a, b)) in known for b in (1, 2, 3, 1, 5)] for a in (0, 0, 0, 4, 1)]
    mask = known_matches(ids, match)
    assert mask.tolist() == expected
    assert not mask[0, 2]  # 0 and 3 were labelled no match


def test_a_bi_encoder_compares_by_cosine(matcher):
    built = matcher("bi")
    one, other = built.encode(FIRST), built.encode(SECOND)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(built.similarity(FIRST, SECOND), (one * other).sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(built.similarity(FIRST, SECOND), built.similarity(SECOND, FIRST), atol=1e-6)


def test_a_cross_encoder_reads_both(matcher):
    built = matcher("cross")
    scores = built.similarity(FIRST, SECOND)
    assert scores.shape == (4,)
    assert ((scores > 0) & (scores < 1)).all()
    assert not np.allclose(scores, built.similarity(SECOND, FIRST), atol=1e-4)
    with pytest.raises(InputError, match="a cross-encoder has no vectors"):
        built.encode(FIRST)


def test_a_threshold_is_chosen_by_labels(matcher):
    built, labels = matcher("bi"), np.array([1, 0, 0, 1])
    with pytest.raises(InputError, match="no threshold"):
        built.predict(FIRST, SECOND)
    ids = text_ids(FIRST, SECOND)
    metrics = built.metrics(built.inputs(FIRST, SECOND), labels, ids, tune="accuracy")
    scores = built.similarity(FIRST, SECOND)
    best = max(((scores >= cut) == labels).mean() for cut in [*scores, 9])
    assert metrics["accuracy"] == best == (built.predict(FIRST, SECOND) == labels).mean()
    assert {"hit@1", "mrr", "auc", "examples"} <= metrics.keys()
    again = built.metrics(built.inputs(FIRST, SECOND), None, ids)
    assert "accuracy" not in again


@pytest.mark.parametrize("form", ["cross", "bi"])
def test_saved_and_loaded_it_says_the_same(matcher, tmp_path, form):
    before = matcher(form)
    before.threshold = 0.25
    before.save(record_artefact(tmp_path, "matcher"))
    after = Matcher.load(tmp_path)
    np.testing.assert_array_equal(after.similarity(FIRST, SECOND), before.similarity(FIRST, SECOND))
    assert (after.form, after.threshold) == (form, 0.25)


def batch_of(matcher, labels, **settings):
    config = MatchingConfig(form=matcher.form, **settings)
    batches = pair_batches(matcher.inputs, (FIRST, SECOND), np.array(labels), config, 4, 0)
    batch = next(iter(batches(0)))
    return config, {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in batch.items()}


def test_losses_of_a_bi_encoder(matcher):
    built, labels = matcher("bi"), [1, 0, 0, 1]
    for loss, formula in (
        ("in_batch", lambda a, b, m, ids: in_batch_loss(a, b, m, temperature=0.05, same=known_matches(ids, m))),
        ("ranking", lambda a, b, m, ids: pair_ranking_loss(F.cosine_similarity(a, b), m, temperature=0.05)),
        (
            "labels",
            lambda a, b, m, ids: F.binary_cross_entropy_with_logits(10 * F.cosine_similarity(a, b) - 5, m.float()),
        ),
    ):
        config, batch = batch_of(built, labels, loss=loss)
        vectors = built.model(batch)
        expected = formula(vectors[0::2], vectors[1::2], batch["labels"] == 1, batch["ids"])
        torch.testing.assert_close(MatchingLoss(built.model, config)(batch), expected)
        assert batch["n_targets"] == (2 if loss == "in_batch" else 4)


def test_the_loss_of_a_cross_encoder(matcher):
    built = matcher("cross")
    config, batch = batch_of(built, [1, 0, 0, 1])
    logits = built.model(batch)[:, 0]
    weight = torch.tensor(3.0)
    expected = F.binary_cross_entropy_with_logits(logits, batch["labels"].float(), pos_weight=weight)
    torch.testing.assert_close(MatchingLoss(built.model, config, 3.0)(batch), expected)
    assert match_weight(np.array([1, 0, 0, 0]), MatchingConfig(class_weights="balanced")) == 3.0
    assert match_weight(np.array([1, 0, 0, 0]), MatchingConfig()) == 1.0


def test_both_texts_of_a_pair_stay_together(matcher, tokenizer):
    built = matcher("bi")
    _, batch = batch_of(built, [1, 0, 0, 1])
    rows = [tokenizer.text(row[row != 0].tolist()) for row in batch["tokens"].numpy()]
    seen = {(rows[2 * n], rows[2 * n + 1]) for n in range(4)}
    assert seen == set(zip(FIRST, SECOND, strict=True))
    assert batch["owner"].tolist() == list(range(8))


def test_swapping_shows_every_pair_once_in_either_order(matcher):
    built = matcher("cross")
    n, labels = 60, np.arange(60) % 2
    first, second = [FIRST[i % 3] for i in range(n)], [SECOND[i % 4] for i in range(n)]
    batches = pair_batches(built.inputs, (first, second), labels, MatchingConfig(swap=True), 16, 0)
    assert batches.steps == 4
    epochs = [[tuple(b["ids"][i]) for b in batches(epoch) for i in range(len(b["labels"]))] for epoch in (0, 1)]
    pairs = {tuple(pair) for pair in text_ids(first, second).tolist()}
    for epoch in epochs:
        assert len(epoch) == n
        straight = sum(pair in pairs for pair in epoch)
        assert 15 < straight < 45
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "in_batch"}, "compares vectors; take task.form 'bi'"),
        ({"form": "bi", "swap": True}, "task.swap has no effect"),
        ({"form": "bi", "loss": "ranking", "focal_gamma": 2.0}, "task.focal_gamma is 2.0, but task.loss 'ranking'"),
        ({"temperature": 0.0}, "task.temperature is 0"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(InputError, match=message):
        MatchingConfig(**settings)
