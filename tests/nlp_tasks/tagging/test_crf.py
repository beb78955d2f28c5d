"""The CRF against the enumeration of all paths, and against pytorch-crf."""

from itertools import pairwise, product

import pytest
import torch
import torchcrf

from nlp_tasks.tagging.crf import CRF
from nlp_tasks.tagging.tag_set import TagSet

LENGTHS = [1, 2, 3, 4]


@pytest.fixture
def mask():
    return torch.arange(4) < torch.tensor(LENGTHS)[:, None]


@pytest.fixture(params=["free", "iobes", "iob2"])
def crf(request):
    torch.manual_seed(0)
    if request.param == "free":
        crf = CRF(torch.ones(4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool), torch.ones(4, dtype=torch.bool))
    else:
        crf = CRF(*TagSet(1, request.param).constraints())
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf


@pytest.fixture(params=[1.0, 50.0])
def emissions(request, crf):
    return request.param * torch.randn(4, 4, len(crf.start), generator=torch.Generator().manual_seed(1))


def all_paths(crf, emissions, n):
    """Every allowed sequence of ``n`` tags and its score, by the definition."""
    names = ("start", "transition", "end", "forbidden_start", "forbidden", "forbidden_end")
    start, transition, end, no_start, no_transition, no_end = (getattr(crf, name).tolist() for name in names)
    rows, scores = emissions.tolist(), {}
    for path in product(range(len(start)), repeat=n):
        steps = list(pairwise(path))
        if no_start[path[0]] or no_end[path[-1]] or any(no_transition[a][b] for a, b in steps):
            continue
        emitted = sum(row[tag] for row, tag in zip(rows, path, strict=False))
        scores[path] = start[path[0]] + emitted + sum(transition[a][b] for a, b in steps) + end[path[-1]]
    return scores


def scores_of(paths):
    return torch.tensor(list(paths.values()), dtype=torch.float64)


def test_the_partition_function_is_the_sum_over_all_paths(crf, emissions, mask):
    partition = crf.log_partition(emissions, mask)
    for row, n in enumerate(LENGTHS):
        scores = scores_of(all_paths(crf, emissions[row], n))
        torch.testing.assert_close(partition[row], torch.logsumexp(scores, dim=0), atol=1e-4, rtol=1e-6)


def test_viterbi_is_the_best_path(crf, emissions, mask):
    best = crf.best(emissions, mask)
    for row, n in enumerate(LENGTHS):
        paths = all_paths(crf, emissions[row], n)
        assert tuple(best[row, :n].tolist()) == max(paths, key=paths.get)
        assert not best[row, n:].any()


def test_likelihoods_are_those_of_the_paths_and_sum_to_one(crf, emissions, mask):
    for row, n in enumerate(LENGTHS[:3]):
        paths = all_paths(crf, emissions[row], n)
        tags = torch.zeros(len(paths), 4, dtype=torch.int64)
        tags[:, :n] = torch.tensor(list(paths))
        many = emissions[row].expand(len(paths), -1, -1)
        likelihood = crf.log_likelihood(many, tags, mask[row].expand(len(paths), -1))
        expected = torch.log_softmax(scores_of(paths), dim=0)
        torch.testing.assert_close(likelihood, expected, atol=1e-3, rtol=1e-5)
        assert likelihood.exp().sum().item() == pytest.approx(1, abs=1e-3)


def test_padding_changes_nothing(crf, emissions, mask):
    other = torch.where(mask[:, :, None], emissions, torch.full_like(emissions, 7.0))
    torch.testing.assert_close(crf.log_partition(other, mask), crf.log_partition(emissions, mask))
    tags = crf.best(emissions, mask)
    torch.testing.assert_close(crf.best(other, mask), tags)
    torch.testing.assert_close(crf.score(other, tags, mask), crf.score(emissions, tags, mask))
    cut = crf.log_partition(emissions[1:2, :2], mask[1:2, :2])
    torch.testing.assert_close(cut, crf.log_partition(emissions, mask)[1:2])


@pytest.mark.parametrize("ends", [False, True])
def test_the_probability_of_a_span_is_that_of_all_paths_through_it(crf, emissions, mask, ends):
    tags = torch.randint(len(crf.start), (4, 4), generator=torch.Generator().manual_seed(2))
    every = [all_paths(crf, emissions[row], n) for row, n in enumerate(LENGTHS)]
    for row, n in enumerate(LENGTHS):
        tags[row, :n] = torch.tensor(max(every[row]))
    spans = torch.tensor([(row, a, b) for row, n in enumerate(LENGTHS) for a in range(n) for b in range(a + 1, n + 1)])
    after = torch.full((len(spans),), 2) if ends else None
    probabilities = crf.log_span_probability(emissions, tags, mask, spans, after).exp()
    for (row, a, b), probability in zip(spans.tolist(), probabilities.tolist(), strict=True):
        paths = every[row]
        shares = torch.softmax(scores_of(paths), dim=0)
        expected_tags = tuple(tags[row, a:b].tolist())
        holds = [path[a:b] == expected_tags and not (ends and path[b : b + 1] == (2,)) for path in paths]
        assert probability == pytest.approx(shares[torch.tensor(holds)].sum().item(), abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_pytorch_crf(seed):
    torch.manual_seed(seed)
    n_tags, lengths = 9, torch.tensor([7, 1, 12, 5])
    theirs = torchcrf.CRF(n_tags, batch_first=True)
    free = torch.ones(n_tags, n_tags, dtype=torch.bool)
    ours = CRF(free[0], free, free[0])
    with torch.no_grad():
        for our_scores, their_scores in (
            (ours.start, theirs.start_transitions),
            (ours.transition, theirs.transitions),
            (ours.end, theirs.end_transitions),
        ):
            their_scores.normal_()
            our_scores.copy_(their_scores)
    mask = torch.arange(12) < lengths[:, None]
    emissions, tags = 3 * torch.randn(4, 12, n_tags), torch.randint(n_tags, (4, 12))
    emissions.requires_grad_()
    expected = theirs(emissions, tags, mask=mask, reduction="none")
    (gradient,) = torch.autograd.grad(expected.sum(), emissions)
    likelihood = ours.log_likelihood(emissions, tags, mask)
    torch.testing.assert_close(likelihood.float(), expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(likelihood.sum(), emissions)[0], gradient, atol=1e-4, rtol=1e-4)
    best = ours.best(emissions, mask)
    assert [row[:n].tolist() for row, n in zip(best, lengths, strict=True)] == theirs.decode(emissions, mask=mask)


def test_forbidden_paths_get_no_gradient_and_none_is_lost(mask):
    tags = TagSet(2)
    crf = CRF(*tags.constraints())
    emissions = torch.randn(4, 4, len(tags), generator=torch.Generator().manual_seed(3), requires_grad=True)
    target = crf.best(emissions, mask)
    crf.log_likelihood(emissions, target, mask).sum().backward()
    assert torch.isfinite(emissions.grad).all()
    assert not emissions.grad[~mask].any()
    starts, transitions, _ = tags.constraints()
    assert not emissions.grad[:, 0][:, ~starts].any()
    assert not crf.transition.grad[~transitions].any()
    assert crf.transition.grad[transitions].any()


def test_scores_that_are_not_learned_stay_out_of_the_model(mask):
    crf = CRF(*TagSet(1).constraints(), learned=False)
    assert list(crf.parameters()) == []
    assert crf.state_dict() == {}
