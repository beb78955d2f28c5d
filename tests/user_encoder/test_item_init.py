import numpy as np
import torch

from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.static_embeddings.ppmi import ppmi_vectors
from recsys_bert.user_encoder.item_init import init_items, item_sequences


def test_items_start_where_their_neighbours_are(side_log, encoder):
    at_random, placed = encoder(), encoder()
    init_items(at_random, side_log, "random")
    init_items(placed, side_log, "ppmi")
    before, after = (each.embeddings.token.weight.detach() for each in (at_random, placed))
    assert torch.equal(before, encoder().embeddings.token.weight)
    first = side_log.vocabulary.first_item
    assert torch.equal(after[:first], before[:first])  # padding, mask and unknown
    sequences = item_sequences(side_log, TrainingEvents.of(side_log.histories))
    expected = torch.from_numpy(ppmi_vectors(sequences, 16))[first:]
    torch.testing.assert_close(torch.cosine_similarity(after[first:], expected), torch.ones(len(expected)))
    torch.testing.assert_close(after[first:].norm(dim=1), torch.full((len(expected),), 0.3 * 4))


def test_an_item_that_stands_alone_keeps_its_random_start(side_log, encoder, monkeypatch):
    vectors = np.ones((side_log.vocabulary.size, 16), np.float32)
    vectors[7] = 0
    monkeypatch.setattr("recsys_bert.user_encoder.item_init.ppmi_vectors", lambda *_: vectors)
    before, placed = encoder().embeddings.token.weight, encoder()
    init_items(placed, side_log, "ppmi")
    after = placed.embeddings.token.weight
    assert torch.equal(after[7], before[7])
    assert not torch.equal(after[8], before[8])
