from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import recsys_bert as rb
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.static_embeddings.ppmi import ppmi_vectors
from recsys_bert.user_encoder import item_init
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


@pytest.mark.parametrize("method", ["item2vec", "item2vec_cbow", "glove"])
def test_items_of_one_ring_start_near_each_other(method, encoder, monkeypatch):
    """Everybody goes round one of five rings of six items."""
    for name in ("ITEM2VEC", "ITEM2VEC_CBOW"):  # fewer words than subsampling is made for
        quick = replace(getattr(item_init, name), sample=0, lr=0.2, batch_size=64)
        monkeypatch.setattr(item_init, name, quick)
    random = np.random.default_rng(0)
    events = [
        (user, 6 * (user % 5) + (start + step) % 6, step)
        for user, start in enumerate(random.integers(6, size=150).tolist())
        for step in range(12)
    ]
    log = rb.prepare(pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row"))
    before, placed = (encoder(vocab_size=log.vocabulary.size) for _ in range(2))
    init_items(placed, log, method)
    first, table = log.vocabulary.first_item, placed.embeddings.token.weight.detach()
    ring = log.vocabulary.item_ids[first:].to_numpy() // 6
    unit = torch.nn.functional.normalize(table[first:], dim=1)
    cosine, same = (unit @ unit.T).numpy(), ring[:, None] == ring[None]
    np.fill_diagonal(same, False)
    assert cosine[same].mean() > cosine[ring[:, None] != ring[None]].mean() + 0.2
    torch.testing.assert_close(table[first:].norm(dim=1), torch.full((30,), 0.3 * 4))
    assert torch.equal(table[:first], before.embeddings.token.weight[:first])
