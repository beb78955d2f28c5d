"""Contract of every head of ``TAGGING_HEADS``."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from nlp_tasks.tagging.config import TaggingHeadConfig
from nlp_tasks.tagging.heads import TAGGING_HEADS
from recsys_bert.encoder.parts import build, find
from recsys_bert.errors import InputError

DIM, N_TYPES = 16, 3
REAL = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] + [False] * 5])
TAGGING = [name for name in TAGGING_HEADS if not getattr(find("tagging head", name, TAGGING_HEADS), "mrc", False)]
ENTITIES = torch.tensor([[0, 0, 2, 1], [0, 2, 3, 0], [0, 3, 6, 1], [1, 3, 4, 2], [2, 0, 1, 0]])


@pytest.fixture(params=TAGGING_HEADS)
def any_head(request):
    torch.manual_seed(0)
    return build("tagging head", request.param, TAGGING_HEADS, DIM, N_TYPES, options={})


@pytest.fixture(params=TAGGING)
def head(request):
    """A head that gives every word a tag."""
    torch.manual_seed(0)
    return build("tagging head", request.param, TAGGING_HEADS, DIM, N_TYPES, options={})


@pytest.fixture
def words():
    return torch.randn(3, 6, DIM, generator=torch.Generator().manual_seed(1))


def test_it_fits_its_training_entities(any_head, words):
    optimiser = torch.optim.Adam(any_head.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = any_head.loss(any_head(words), REAL, ENTITIES)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    with torch.no_grad():
        entities, scores = any_head.decode(any_head(words), REAL)
    expected = ENTITIES.numpy() * ([1, 1, 1, 0] if getattr(any_head, "mrc", False) else 1)  # which are of one type
    np.testing.assert_array_equal(entities, expected)
    assert entities.dtype == np.int64
    assert (scores > 0.7).all()
    assert (scores <= 1).all()


def test_padding_changes_nothing(any_head, words):
    changed = torch.where(REAL[:, :, None], words, torch.full_like(words, 9.0))
    with torch.no_grad():
        torch.testing.assert_close(
            any_head.loss(any_head(changed), REAL, ENTITIES), any_head.loss(any_head(words), REAL, ENTITIES)
        )
        for one, other in zip(
            any_head.decode(any_head(changed), REAL), any_head.decode(any_head(words), REAL), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_batch_is_the_mean_of_its_words(head, words):
    with torch.no_grad():
        whole = head.loss(head(words), REAL, ENTITIES)
        parts = []
        for row, n in enumerate(REAL.sum(1).tolist()):
            own = ENTITIES[ENTITIES[:, 0] == row] * torch.tensor([0, 1, 1, 1])
            parts.append(n * head.loss(head(words[row : row + 1, :n]), REAL[row : row + 1, :n], own))
    torch.testing.assert_close(sum(parts) / REAL.sum(), whole)


def test_every_weight_learns_and_only_real_words_teach(any_head, words):
    words.requires_grad_()
    any_head.loss(any_head(words), REAL, ENTITIES).backward()
    assert not words.grad[~REAL].any()
    assert words.grad[REAL].abs().sum(1).all()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in any_head.parameters())


def test_sentences_without_entities(any_head, words):
    none = torch.empty(0, 4, dtype=torch.int64)
    loss = any_head.loss(any_head(words), REAL, none)
    assert torch.isfinite(loss)
    assert loss > 0


def test_bf16(any_head, words):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        loss = any_head.loss(any_head(words), REAL, ENTITIES)
        entities, scores = any_head.decode(any_head(words), REAL)
    with torch.no_grad():
        torch.testing.assert_close(loss.float(), any_head.loss(any_head(words), REAL, ENTITIES), atol=0.05, rtol=0.05)
    assert len(entities) == len(scores)


def test_answers_that_overlap_are_none(head):
    random = torch.Generator().manual_seed(4)
    words, mask = 5 * torch.randn(8, 12, DIM, generator=random), torch.ones(8, 12, dtype=torch.bool)
    with torch.no_grad():
        entities, _ = head.decode(head(words), mask)
    assert len(entities)
    for (sentence, _, stop, _), (after, start, _, _) in pairwise(entities):
        assert after > sentence or start >= stop


def test_names_and_options_are_checked():
    with pytest.raises(InputError, match="no tagging head is called 'cfr'; did you mean 'crf'"):
        TaggingHeadConfig(name="cfr")
    with pytest.raises(InputError, match="has no option 'schema'; its options: scheme"):
        build("tagging head", "crf", TAGGING_HEADS, DIM, N_TYPES, options={"schema": "iob2"})
    with pytest.raises(InputError, match="it must be iobes or iob2"):
        build("tagging head", "softmax", TAGGING_HEADS, DIM, N_TYPES, options={"scheme": "bmes"})
