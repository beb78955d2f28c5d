"""What every head of ``NER_HEADS`` must do."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from nlp_tasks.tagging.config import NerHeadConfig
from nlp_tasks.tagging.heads import NER_HEADS
from recsys_bert.encoder.parts import build, find
from recsys_bert.errors import InputError

DIM, N_TYPES = 16, 3
REAL = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] + [False] * 5])
TAGGING = [name for name in NER_HEADS if not getattr(find("NER head", name, NER_HEADS), "asks", False)]
ENTITIES = torch.tensor([[0, 0, 2, 1], [0, 2, 3, 0], [0, 3, 6, 1], [1, 3, 4, 2], [2, 0, 1, 0]])


@pytest.fixture(params=NER_HEADS)
def any_head(request):
    torch.manual_seed(0)
    return build("NER head", request.param, NER_HEADS, DIM, N_TYPES, options={})


@pytest.fixture(params=TAGGING)
def head(request):
    """A head that gives every unit a tag."""
    torch.manual_seed(0)
    return build("NER head", request.param, NER_HEADS, DIM, N_TYPES, options={})


@pytest.fixture
def units():
    return torch.randn(3, 6, DIM, generator=torch.Generator().manual_seed(1))


def test_it_learns_to_find_what_it_is_shown(any_head, units):
    optimiser = torch.optim.Adam(any_head.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = any_head.loss(any_head(units), REAL, ENTITIES)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    with torch.no_grad():
        entities, scores = any_head.find(any_head(units), REAL)
    wanted = ENTITIES.numpy() * ([1, 1, 1, 0] if getattr(any_head, "asks", False) else 1)  # which are of one type
    np.testing.assert_array_equal(entities, wanted)
    assert entities.dtype == np.int64
    assert (scores > 0.7).all()
    assert (scores <= 1).all()


def test_padding_changes_nothing(any_head, units):
    changed = torch.where(REAL[:, :, None], units, torch.full_like(units, 9.0))
    with torch.no_grad():
        torch.testing.assert_close(
            any_head.loss(any_head(changed), REAL, ENTITIES), any_head.loss(any_head(units), REAL, ENTITIES)
        )
        for one, other in zip(
            any_head.find(any_head(changed), REAL), any_head.find(any_head(units), REAL), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_batch_is_the_mean_of_its_units(head, units):
    with torch.no_grad():
        whole = head.loss(head(units), REAL, ENTITIES)
        parts = []
        for row, n in enumerate(REAL.sum(1).tolist()):
            own = ENTITIES[ENTITIES[:, 0] == row] * torch.tensor([0, 1, 1, 1])
            parts.append(n * head.loss(head(units[row : row + 1, :n]), REAL[row : row + 1, :n], own))
    torch.testing.assert_close(sum(parts) / REAL.sum(), whole)


def test_every_weight_learns_and_only_real_units_teach(any_head, units):
    units.requires_grad_()
    any_head.loss(any_head(units), REAL, ENTITIES).backward()
    assert not units.grad[~REAL].any()
    assert units.grad[REAL].abs().sum(1).all()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in any_head.parameters())


def test_sentences_without_entities(any_head, units):
    none = torch.empty(0, 4, dtype=torch.int64)
    loss = any_head.loss(any_head(units), REAL, none)
    assert torch.isfinite(loss)
    assert loss > 0


def test_bf16(any_head, units):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = any_head.loss(any_head(units), REAL, ENTITIES)
        entities, scores = any_head.find(any_head(units), REAL)
    with torch.no_grad():
        torch.testing.assert_close(found.float(), any_head.loss(any_head(units), REAL, ENTITIES), atol=0.05, rtol=0.05)
    assert len(entities) == len(scores)


def test_answers_that_overlap_are_none(head):
    random = torch.Generator().manual_seed(4)
    units, mask = 5 * torch.randn(8, 12, DIM, generator=random), torch.ones(8, 12, dtype=torch.bool)
    with torch.no_grad():
        entities, _ = head.find(head(units), mask)
    assert len(entities)
    for (sentence, _, stop, _), (after, start, _, _) in pairwise(entities):
        assert after > sentence or start >= stop


def test_names_and_options_are_checked():
    with pytest.raises(InputError, match="no NER head is called 'cfr'; did you mean 'crf'"):
        NerHeadConfig(name="cfr")
    with pytest.raises(InputError, match="has no option 'schema'; its options: scheme"):
        build("NER head", "crf", NER_HEADS, DIM, N_TYPES, options={"schema": "iob2"})
    with pytest.raises(InputError, match="it must be iobes or iob2"):
        build("NER head", "softmax", NER_HEADS, DIM, N_TYPES, options={"scheme": "bmes"})
