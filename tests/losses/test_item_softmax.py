"""Losses against their formulas, and what each of them learns on a chain whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.losses.config import BucketsConfig, LossConfig, NegativesConfig
from recsys_bert.losses.distillation import soft_target_loss
from recsys_bert.losses.item_softmax import Sampled, full_cross_entropy, gbce, sampled_softmax, soft_item_loss
from recsys_bert.losses.negatives import NegativeSampler
from recsys_bert.objectives.next_item import next_item
from recsys_bert.objectives.token_prediction import TokenPrediction

FIRST = 3


@pytest.fixture
def compared():
    """Queries of three histories (one of them without any), what they are compared with, and logQ of both."""
    random = torch.Generator().manual_seed(0)
    row, negatives = torch.tensor([0, 0, 0, 2, 2, 2]), torch.randint(FIRST, 9, (3, 4), generator=random)
    targets = torch.tensor([4, 5, 6, 4, 7, 8])
    assert (negatives[row] == targets[:, None]).any()
    queries, positives, vectors = (
        torch.randn(*shape, 5, generator=random).requires_grad_() for shape in ((6,), (6,), (3, 4))
    )
    sampled = Sampled(row=row, targets=targets, positives=positives, negatives=negatives, vectors=vectors)
    return queries, sampled, torch.randn(6, generator=random), torch.randn(3, 4, generator=random)


def scored(queries, sampled):
    """The scores of each query's target ``[n]`` and negatives ``[n, k]``, and which of these are its target."""
    positive = (queries * sampled.positives).sum(dim=1)
    negative = torch.einsum("nd,nkd->nk", queries, sampled.vectors[sampled.row])
    return positive, negative, sampled.negatives[sampled.row] == sampled.targets[:, None]


def check_gradients(loss, reference, queries, sampled):
    leaves = (queries, sampled.positives, sampled.vectors)
    torch.testing.assert_close(torch.autograd.grad(loss, leaves), torch.autograd.grad(reference, leaves))


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_soft_items_are_soft_targets_over_all_logits(chunk, temperature):
    torch.manual_seed(0)
    queries, table = torch.randn(20, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    teacher = torch.randn(20, 3), torch.randn(50, 3)
    reference = soft_target_loss(queries @ table.T, teacher[0] @ teacher[1].T, temperature)
    loss = soft_item_loss(queries, table, teacher, temperature=temperature, chunk=chunk)
    torch.testing.assert_close(loss, reference)
    leaves = (queries, table)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, leaves), torch.autograd.grad(3 * reference, leaves))
    with torch.autocast("cpu", torch.bfloat16):
        rough = soft_item_loss(queries, table, teacher, temperature=temperature, chunk=chunk)
    torch.testing.assert_close(rough, reference, rtol=0.05, atol=0.01)
    nothing = soft_item_loss(queries[:0], table, (teacher[0][:0], teacher[1]), temperature=temperature, chunk=chunk)
    assert nothing.item() == 0.0


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_full_cross_entropy_is_that_of_all_logits(chunk):
    torch.manual_seed(0)
    queries, table = torch.randn(20, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(50, (20,))
    reference = F.cross_entropy(queries @ table.T, targets)
    expected = torch.autograd.grad(reference, (queries, table))
    loss = full_cross_entropy(queries, table, targets, chunk=chunk)
    torch.testing.assert_close(loss, reference)
    torch.testing.assert_close(torch.autograd.grad(loss, (queries, table)), expected)


@pytest.mark.parametrize("mixed", [False, True])
def test_full_cross_entropy_knows_how_wrong_a_hopeless_query_is(mixed):
    table, targets = torch.tensor([[1.0], [0.0], [-1.0]]), torch.tensor([2, 0, 1])
    queries = torch.tensor([[80.0], [80.0], [100.0]])  # 160, 0 and 100 below the logsumexp, the first beyond float32
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        loss = full_cross_entropy(queries, table, targets, chunk=2)
    assert loss.item() == pytest.approx((160 + 0 + 100) / 3)


def test_full_cross_entropy_in_bf16_is_near_that_in_float32():
    torch.manual_seed(0)
    queries, table = torch.randn(64, 32, requires_grad=True), torch.randn(300, 32, requires_grad=True)
    targets = torch.randint(300, (64,))
    reference = F.cross_entropy(queries @ table.T, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = full_cross_entropy(queries, table, targets, chunk=16)
    assert loss.item() == pytest.approx(reference.item(), rel=5e-3)
    expected = torch.autograd.grad(reference, (queries, table))
    for result, expected_rows in zip(torch.autograd.grad(loss, (queries, table)), expected, strict=True):
        assert result.dtype == torch.float32
        assert (result - expected_rows).norm() < 0.02 * expected_rows.norm()


def test_sampled_softmax_matches_a_plain_loop(compared):
    queries, sampled, positive_q, negative_q = compared
    positive, negative, hits = (value.detach() for value in scored(queries, sampled))
    losses = []
    for i, row in enumerate(sampled.row):
        target = math.exp(positive[i] - positive_q[i])
        others = [math.exp(negative[i, j] - negative_q[row, j]) for j in range(4) if not hits[i, j]]
        losses.append(-math.log(target / (target + sum(others))))
    assert sampled_softmax(*compared).item() == pytest.approx(np.mean(losses))


def test_sampled_softmax_has_the_gradients_of_its_formula(compared):
    queries, sampled, positive_q, negative_q = compared
    positive, negative, hits = scored(queries, sampled)
    target, others = positive - positive_q, (negative - negative_q[sampled.row]).masked_fill(hits, -torch.inf)
    reference = (torch.logaddexp(target, others.logsumexp(dim=1)) - target).mean()
    check_gradients(sampled_softmax(*compared), reference, queries, sampled)


def test_chunks_change_nothing(compared, monkeypatch):
    whole = sampled_softmax(*compared)
    monkeypatch.setattr("recsys_bert.losses.item_softmax._SCORES", 1)
    check_gradients(sampled_softmax(*compared), whole, compared[0], compared[1])


def test_a_negative_with_infinite_log_q_is_left_out(compared):
    queries, sampled, positive_q, negative_q = compared
    fewer = replace(sampled, negatives=sampled.negatives[:, :3], vectors=sampled.vectors[:, :3])
    expected = sampled_softmax(queries, fewer, positive_q, negative_q[:, :3])
    without = torch.cat([negative_q[:, :3], torch.full((3, 1), torch.inf)], dim=1)
    torch.testing.assert_close(sampled_softmax(queries, sampled, positive_q, without), expected)


def test_sampled_softmax_over_every_item_is_the_full_one():
    torch.manual_seed(0)
    queries, table, targets = torch.randn(9, 8), torch.randn(30, 8), torch.randint(30, (9,))
    everything = torch.arange(30).expand(1, 30)  # each item is a negative once, the target itself is not one
    row = torch.zeros(9, dtype=torch.int64)
    sampled = Sampled(row=row, targets=targets, positives=table[targets], negatives=everything, vectors=table[None])
    loss = sampled_softmax(queries, sampled, torch.zeros(9), torch.zeros(1, 30))
    torch.testing.assert_close(loss, F.cross_entropy(queries @ table.T, targets))


@pytest.mark.parametrize("calibration", [0.0, 0.4, 1.0])
def test_gbce_matches_the_formula(compared, calibration):
    queries, sampled, _, _ = compared
    rate = 4 / (25 - 1)
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    positive, negative, hits = scored(queries, sampled)
    against = (-(1 - negative.sigmoid()).log()).masked_fill(hits, 0.0).sum(dim=1)
    reference = ((-(positive.sigmoid() ** power).log() + against) / 5).mean()
    loss = gbce(queries, sampled, n_items=25, calibration=calibration)
    torch.testing.assert_close(loss, reference)
    check_gradients(loss, reference, queries, sampled)


def test_gbce_with_more_negatives_than_items_is_plain_cross_entropy(compared):
    queries, sampled, _, _ = compared
    result = [gbce(queries, sampled, n_items=4, calibration=calibration) for calibration in (0.0, 0.75)]
    torch.testing.assert_close(*result)


def test_gbce_survives_extreme_scores():
    queries = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    sampled = Sampled(
        row=torch.tensor([0, 1]),
        targets=torch.tensor([3, 4]),
        positives=torch.tensor([[-1.0], [-1.0]]),
        negatives=torch.tensor([[5], [6]]),
        vectors=torch.ones(2, 1, 1),
    )
    loss = gbce(queries, sampled, n_items=10, calibration=0.75)
    loss.backward()
    assert loss.isfinite()
    assert queries.grad.isfinite().all()
    assert queries.grad[0] > 0  # both the target's score and the negative's want it lower


@pytest.mark.parametrize("name", ["full", "sampled", "gbce", "sce", "rece"])
def test_a_batch_without_targets_has_no_loss_and_no_gradient(name):
    negatives = NegativesConfig(uniform=8) if name in ("sampled", "gbce") else NegativesConfig()
    prediction = make_prediction(LossConfig(name=name, negatives=negatives), n_items=10)
    batch = next_item(np.array([[2, 2, 2], [2, 2, 0]], np.int32), np.array([3, 2]), FIRST)  # nothing but unknown items
    loss = prediction(tensors(batch) | {"negatives": torch.tensor([[4, 5], [5, 6]])})
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or (p.grad == 0).all() for p in prediction.parameters())
    assert prediction.encoder.layers[0].parameters().__next__().grad is not None  # it took part, for DDP's sake


def make_prediction(loss, n_items, counts=None):
    torch.manual_seed(0)
    size = FIRST + n_items
    encoder = Encoder(
        EncoderConfig(
            vocab_size=size, dim=16, n_layers=1, attention="causal", dropout=0.0, init_std=0.3, position="none"
        )
    )
    return TokenPrediction(encoder, loss, first_row=FIRST, counts=np.ones(size, int) if counts is None else counts)


def tensors(batch):
    return {name: torch.from_numpy(value) for name, value in batch.items() if isinstance(value, np.ndarray)}


class Chain:
    """20 items, popular ones far more often visited; each leads to three others, one of them most of the time."""

    n, probabilities = 20, np.array([0.6, 0.25, 0.15])

    def __init__(self):
        random = np.random.default_rng(3)
        popularity = 1 / np.arange(1, self.n + 1)
        self.next = np.stack(
            [random.choice(self.n, 3, replace=False, p=popularity / popularity.sum()) for _ in range(self.n)]
        )

    def walks(self, n, length, random):
        walks = np.empty((n, length), np.int32)
        walks[:, 0] = random.integers(self.n, size=n)
        for i in range(1, length):
            walks[:, i] = self.next[walks[:, i - 1], random.choice(3, size=n, p=self.probabilities)]
        return walks + FIRST

    def quality(self, prediction):
        """Log-likelihood of a step by the softmax over all items, and NDCG; both relative to the best possible."""
        with torch.no_grad():
            hidden = prediction.encoder(torch.arange(FIRST, FIRST + self.n)[:, None]).tokens[:, 0]
            logits = prediction.queries(hidden) @ prediction.vectors(prediction.encoder.embeddings.token.weight).T
        scores = logits[:, FIRST:].double()
        log_likelihoods = scores.log_softmax(dim=1).gather(1, torch.from_numpy(self.next)).numpy()
        ranks = (scores.argsort(dim=1, descending=True).argsort(dim=1)).gather(1, torch.from_numpy(self.next)).numpy()
        visited = np.bincount((self.walks(2000, 12, np.random.default_rng(9)) - FIRST)[:, 4:].ravel(), minlength=self.n)
        weights = visited / visited.sum()
        best = (self.probabilities / np.log2([2, 3, 4])).sum()
        ndcg = (self.probabilities / np.log2(ranks + 2)).sum(axis=1) @ weights / best
        return (self.probabilities * log_likelihoods).sum(axis=1) @ weights, ndcg


@pytest.fixture(scope="module")
def chain():
    return Chain()


def train(chain, loss, steps=120):
    random = np.random.default_rng(0)
    counts = np.concatenate(
        [np.zeros(FIRST, int), np.bincount(chain.walks(4000, 12, random).ravel() - FIRST, minlength=chain.n)]
    )
    sampler = NegativeSampler(counts, FIRST, loss.negatives)
    prediction = make_prediction(loss, chain.n, counts)
    optimiser = torch.optim.AdamW(prediction.parameters(), lr=0.02, weight_decay=0.0)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * (1 - step / steps)
        batch = next_item(chain.walks(32, 8, random), np.full(32, 8), FIRST)
        negatives = sampler.draw(random, batch["targets"], 32)
        value = prediction(tensors(batch) | {"negatives": torch.from_numpy(negatives)})
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return chain.quality(prediction.eval())


@pytest.fixture(scope="module")
def full(chain):
    return train(chain, LossConfig(name="full"))


def test_the_full_softmax_learns_the_chain(chain, full):
    likelihood, ndcg = full
    best = (chain.probabilities * np.log(chain.probabilities)).sum()
    assert best - 0.1 < likelihood < best
    assert ndcg > 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    "negatives",
    [
        {"uniform": 16},
        {"uniform": 16, "popularity_power": 1.0},
        {"in_batch": 16, "uniform": 0},
        {"in_batch": 8, "uniform": 8},
    ],
    ids=str,
)
def test_sampled_softmax_reaches_the_full_one(chain, full, negatives):
    likelihood, ndcg = train(chain, LossConfig(name="sampled", negatives=NegativesConfig(**negatives)))
    assert likelihood > full[0] - 0.15  # logQ makes it an estimate of the same probabilities
    assert ndcg > full[1] - 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("calibration", "in_batch"), [(0.0, 0), (0.7, 8)])
def test_gbce_ranks_as_well_as_the_full_softmax(chain, full, calibration, in_batch):
    negatives = NegativesConfig(in_batch=in_batch, uniform=16 - in_batch)
    loss = LossConfig(name="gbce", negatives=negatives, calibration=calibration)
    assert train(chain, loss, 200)[1] > full[1] - 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("name", "buckets"), [("sce", {"items": 8}), ("rece", {"number": 4})])
def test_losses_in_buckets_rank_as_well_as_the_full_softmax(chain, full, name, buckets):
    """Each target meets two fifths of the items, or a half to three quarters."""
    loss = LossConfig(name=name, buckets=BucketsConfig(**buckets))
    assert train(chain, loss, 200)[1] > full[1] - 0.03


@pytest.mark.slow
def test_cosine_reaches_the_inner_product(chain, full):
    assert train(chain, LossConfig(name="full", similarity="cosine", temperature=0.1))[1] > full[1] - 0.03


def test_gbce_leaves_masked_negatives_out():
    torch.manual_seed(0)
    vectors, queries = torch.randn(1, 3, 4), torch.randn(1, 4)
    settings = {"row": torch.tensor([0]), "targets": torch.tensor([3]), "positives": torch.randn(1, 4)}
    sampled = Sampled(**settings, negatives=torch.tensor([[4, 5, 6]]), vectors=vectors)
    masked = torch.tensor([[0.0, torch.inf, 0.0]])
    loss = gbce(queries, sampled, n_items=10, calibration=0.5, negative_log_q=masked)
    rate, scores = 3 / 9, (queries @ vectors[0].T)[0]
    beta = rate * (0.5 * (1 - 1 / rate) + 1 / rate)
    expected = beta * F.softplus(-(queries * sampled.positives).sum()) + F.softplus(scores[[0, 2]]).sum()
    torch.testing.assert_close(loss, expected / 4)
