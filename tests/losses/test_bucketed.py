"""SCE and RECE against the full softmax, and against loops that read the papers."""

import pytest
import torch
import torch.nn.functional as F

from recsys_bert.errors import InputError
from recsys_bert.losses.config import BucketsConfig, LossConfig
from recsys_bert.losses.rece import rece
from recsys_bert.losses.sce import sce

EVERYTHING = {"sce": BucketsConfig(number=1, queries=99, items=99), "rece": BucketsConfig(number=1, rounds=2)}
LOSSES = {"sce": sce, "rece": rece}


@pytest.fixture
def batch():
    torch.manual_seed(0)
    queries, table = torch.randn(30, 6, requires_grad=True), torch.randn(41, 6, requires_grad=True)
    return queries, table, torch.randint(0, 41, (30,))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [None, torch.arange(30.0)])
def test_one_bucket_of_everything_is_the_full_cross_entropy(batch, name, weights):
    queries, table, targets = batch
    loss = LOSSES[name](queries, table, targets, weights, buckets=EVERYTHING[name])
    losses = F.cross_entropy(queries @ table.T, targets, reduction="none")
    full = losses.mean() if weights is None else losses @ weights / weights.sum()
    torch.testing.assert_close(loss, full)
    ours, theirs = (torch.autograd.grad(value, (queries, table)) for value in (loss, full))
    torch.testing.assert_close(ours, theirs)


def cross_entropy_of(query, table, target, negatives):
    scores = torch.stack([query @ table[target], *(query @ table[item] for item in negatives if item != target)])
    return scores.logsumexp(0) - scores[0]


def test_sce_equals_a_loop_over_its_buckets(batch):
    queries, table, targets = batch
    torch.manual_seed(5)
    loss = sce(queries, table, targets, buckets=BucketsConfig(number=4, queries=7, items=9))
    torch.manual_seed(5)
    largest = {}
    for centre in torch.randn(4, 30) @ queries:
        items = (table @ centre).argsort(descending=True)[:9].tolist()
        for row in (queries @ centre).argsort(descending=True)[:7].tolist():
            value = cross_entropy_of(queries[row], table, int(targets[row]), items)
            largest[row] = max(largest.get(row, value), value)
    assert 7 < len(largest) < 28  # some in several buckets, some in none
    torch.testing.assert_close(loss, torch.stack(list(largest.values())).mean())


def chunks_by_hand(bucket, number):
    order = sorted(range(len(bucket)), key=lambda row: bucket[row])
    return [order[len(order) * c // number : len(order) * (c + 1) // number] for c in range(number)]


@pytest.mark.parametrize(("neighbours", "rounds"), [(0, 1), (1, 1), (1, 3)])
def test_rece_equals_a_loop_over_its_chunks(batch, neighbours, rounds):
    queries, table, targets = batch
    torch.manual_seed(5)
    loss = rece(queries, table, targets, buckets=BucketsConfig(number=7, neighbours=neighbours, rounds=rounds))
    torch.manual_seed(5)
    met = [set() for _ in queries]
    for _ in range(rounds):
        directions = torch.randn(6, 7)
        of_queries, of_items = (chunks_by_hand((x @ directions).argmax(1).tolist(), 7) for x in (queries, table))
        for chunk, rows in enumerate(of_queries):
            for row in rows:
                met[row] |= {
                    item for near in of_items[max(0, chunk - neighbours) : chunk + neighbours + 1] for item in near
                }
    assert len(set(map(len, met))) > 1
    pairs = zip(queries, targets.tolist(), met, strict=True)
    expected = torch.stack([cross_entropy_of(query, table, target, items) for query, target, items in pairs]).mean()
    torch.testing.assert_close(loss, expected)


def test_a_query_in_no_bucket_takes_no_gradient(batch):
    queries, table, targets = batch
    sce(queries, table, targets, buckets=BucketsConfig(number=1, queries=5, items=9)).backward()
    assert (queries.grad.abs().sum(1) > 0).sum() == 5
    assert queries.grad.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"number": -1}, r"loss\.buckets\.number is -1; it must be at least 0"),
        ({"items": 0}, r"loss\.buckets\.items is 0"),
        ({"rounds": 0}, r"loss\.buckets\.rounds is 0"),
    ],
)
def test_buckets_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        BucketsConfig(**settings)


@pytest.mark.parametrize(
    ("name", "buckets", "message"),
    [
        ("full", {"number": 3}, r"loss\.buckets\.number has no effect: loss\.name 'full' does not read it"),
        ("sce", {"rounds": 3}, r"loss\.buckets\.rounds has no effect"),
        ("rece", {"items": 3}, r"loss\.buckets\.items has no effect"),
    ],
)
def test_buckets_that_are_not_read_are_refused(name, buckets, message):
    with pytest.raises(InputError, match=message):
        LossConfig(name=name, buckets=BucketsConfig(**buckets))
