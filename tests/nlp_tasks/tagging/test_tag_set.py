import numpy as np
import pytest
import torch

from nlp_tasks.tagging.schemes import SCHEMES, Span, write_tags
from nlp_tasks.tagging.tag_set import MODEL_SCHEMES, TagSet
from recsys_bert.errors import InputError


def random_entities(random, n_words, n_types):
    entities, position = [], 0
    while (position := position + int(random.integers(0, 3))) < n_words:
        stop = min(n_words, position + int(random.integers(1, 4)))
        entities.append(Span(position, stop, str(random.integers(n_types))))
        position = stop
    return entities


@pytest.mark.parametrize("scheme", MODEL_SCHEMES)
def test_rows_are_the_schemes_tags_and_back(scheme):
    random, tags = np.random.default_rng(0), TagSet(3, scheme)
    lengths = [6, 1, 9, 4]
    sentences = [random_entities(random, n, 3) for n in lengths]
    rows = np.array([(i, *map(int, entity)) for i, entities in enumerate(sentences) for entity in entities])
    encoded = tags.encode(torch.from_numpy(rows), (4, 9))
    for row, n, entities in zip(encoded, lengths, sentences, strict=True):
        assert [tags.names[tag] for tag in row[:n]] == write_tags(entities, n, SCHEMES[scheme])
        assert not row[n:].any()
    mask = np.arange(9) < np.array(lengths)[:, None]
    noise = np.where(mask, encoded.numpy(), 5)  # what stands on padding is not read
    np.testing.assert_array_equal(tags.decode(noise, mask), rows)


@pytest.mark.parametrize("scheme", MODEL_SCHEMES)
def test_no_entities_at_all(scheme):
    tags = TagSet(2, scheme)
    none = tags.encode(torch.empty(0, 4, dtype=torch.int64), (2, 3))
    assert not none.any()
    assert tags.decode(none.numpy(), np.ones((2, 3), bool)).shape == (0, 4)


@pytest.mark.parametrize("scheme", MODEL_SCHEMES)
def test_constraints_are_the_schemes(scheme, read_tags):
    tags = TagSet(2, scheme)
    starts, transitions, ends = (allowed.numpy() for allowed in tags.constraints())
    for i, a in enumerate(tags.names):
        assert (read_tags([a], SCHEMES[scheme])[1] is None) == (starts[i] and ends[i])
        for j, b in enumerate(tags.names):
            whole = starts[i] and transitions[i, j] and ends[j]
            assert (read_tags([a, b], SCHEMES[scheme])[1] is None) == whole


def test_only_schemes_of_models():
    with pytest.raises(InputError, match="it must be iobes or iob2"):
        TagSet(2, "bmes")
