"""Contrastive losses against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from recsys_bert.losses.contrastive import in_batch_loss, info_nce, pair_ranking_loss


@pytest.fixture
def vectors():
    random = torch.Generator().manual_seed(0)
    return torch.randn(5, 3, generator=random), torch.randn(5, 3, generator=random)


MATCH = torch.tensor([True, False, True, True, False])
SAME = torch.zeros(5, 5, dtype=torch.bool)
SAME[0, 2] = SAME[3, 4] = SAME[2, 2] = True


def cosine(a, b):
    return F.cosine_similarity(a, b, dim=0).item()


def test_in_batch_softmax_is_a_plain_loop_over_both_directions(vectors):
    first, second = vectors
    total = 0.0
    for i in range(5):
        if MATCH[i]:
            row = [j for j in range(5) if i == j or not SAME[i, j]]
            column = [j for j in range(5) if i == j or not SAME[j, i]]
            right = cosine(first[i], second[i]) / 0.1
            total -= right - math.log(sum(math.exp(cosine(first[i], second[j]) / 0.1) for j in row))
            total -= right - math.log(sum(math.exp(cosine(first[j], second[i]) / 0.1) for j in column))
    result = in_batch_loss(first, second, MATCH, temperature=0.1, same=SAME)
    assert result.item() == pytest.approx(total / 6, rel=1e-5)


def test_without_masks_it_is_torchs_cross_entropy(vectors):
    first, second = vectors
    scores = F.normalize(first) @ F.normalize(second).T / 0.05
    own = torch.arange(5)
    expected = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
    result = in_batch_loss(first, second, torch.ones(5, dtype=torch.bool), temperature=0.05)
    torch.testing.assert_close(result, expected)


def test_no_match_is_no_loss_and_no_nan(vectors):
    first, second = (vector.requires_grad_() for vector in vectors)
    loss = in_batch_loss(first, second, torch.zeros(5, dtype=torch.bool), temperature=0.05, same=SAME | True)
    loss.backward()
    assert loss.item() == 0
    assert not first.grad.any()


def test_ranking_is_a_plain_loop_over_pairs():
    scores = torch.tensor([0.9, 0.1, 0.4, -0.3, 0.5])
    total = 1.0
    for i in range(5):
        for j in range(5):
            if not MATCH[i] and MATCH[j]:
                total += math.exp((scores[i].item() - scores[j].item()) / 0.05)
    assert pair_ranking_loss(scores, MATCH, temperature=0.05).item() == pytest.approx(math.log(total), rel=1e-5)


@pytest.mark.parametrize("match", [True, False])
def test_ranking_needs_both_kinds(match):
    scores = torch.tensor([0.3, 0.2], requires_grad=True)
    loss = pair_ranking_loss(scores, torch.tensor([match, match]), temperature=0.05)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(scores.grad).all()


def in_modules_of(vectors, loss_name, **options):
    """A loss of sentence-transformers on ready vectors: its model only hands them through."""
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")

    class Ready(torch.nn.Module):
        def forward(self, features):
            return {"sentence_embedding": features["vectors"]}

    return getattr(losses, loss_name)(Ready(), **options), [{"vectors": part} for part in vectors]


@pytest.mark.parametrize("hard", [False, True])
def test_info_nce_equals_multiple_negatives_ranking(vectors, hard):
    first, second = vectors
    keys = [second, first.flip(0) + second] if hard else [second]
    theirs, features = in_modules_of([first, *keys], "MultipleNegativesRankingLoss", scale=20.0)
    ours = info_nce(first, torch.cat(keys), temperature=0.05)
    assert ours.item() == pytest.approx(theirs(features, None).item(), rel=1e-5)


def test_info_nce_leaves_false_negatives_out(vectors):
    first, second = vectors
    same = torch.zeros(5, 5, dtype=torch.bool)
    same[0, 2] = same[1, 1] = True
    rows = []
    for i in range(5):
        scores = [cosine(first[i], second[j]) / 0.1 for j in range(5) if (i, j) != (0, 2)]
        rows.append(math.log(sum(map(math.exp, scores))) - cosine(first[i], second[i]) / 0.1)
    assert info_nce(first, second, temperature=0.1, same=same).item() == pytest.approx(sum(rows) / 5, rel=1e-5)


def test_the_ranking_loss_on_grades_equals_cosent(vectors):
    grades = torch.tensor([0.0, 2.5, 5.0, 2.5, 1.0])
    theirs, features = in_modules_of(vectors, "CoSENTLoss", scale=20.0)
    ours = pair_ranking_loss(F.cosine_similarity(*vectors), grades, temperature=0.05)
    assert ours.item() == pytest.approx(theirs(features, grades).item(), rel=1e-5)
