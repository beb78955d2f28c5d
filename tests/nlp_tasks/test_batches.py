import numpy as np
import pytest

from nlp_tasks.batches import TextBatches, gather, reading_order
from nlp_tasks.config import LengthConfig
from nlp_tasks.inputs import read_texts


@pytest.fixture
def inputs(tokenizer):
    """Texts of one to forty words, read in windows of eight tokens."""
    random = np.random.default_rng(0)
    texts = ["ball " * n for n in random.integers(1, 41, 100)]
    return read_texts(tokenizer, texts, None, LengthConfig(long="windows", max_windows=100), 10)


def batches(inputs, **settings):
    values = {"number": np.arange(len(inputs))}
    return TextBatches(inputs, values, **{"batch_size": 8, "seed": 1, **settings})


def test_an_epoch_shows_everything_once(inputs):
    seen = np.concatenate([batch["number"] for batch in batches(inputs)(0)])
    assert sorted(seen) == list(range(100))
    assert batches(inputs).steps == 13


def test_epochs_differ_and_repeat_themselves(inputs):
    first, again, other = (np.concatenate([b["number"] for b in batches(inputs)(epoch)]) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_going_on_within_an_epoch_gives_the_same_batches(inputs):
    whole, rest = list(batches(inputs)(2)), list(batches(inputs)(2, first_step=5))
    assert len(rest) == len(whole) - 5
    for one, other in zip(whole[5:], rest, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


def test_rows_are_those_of_the_examples(inputs):
    for batch in batches(inputs)(0):
        for place, example in enumerate(batch["number"]):
            rows = np.flatnonzero(inputs.owner == example)
            mine = batch["tokens"][batch["owner"] == place]
            assert len(mine) == len(rows)
            for row, tokens in zip(rows, mine, strict=True):
                np.testing.assert_array_equal(
                    tokens[tokens != 0], inputs.ids[inputs.offsets[row] : inputs.offsets[row + 1]]
                )
        assert batch["tokens"].shape[1] == (batch["tokens"] != 0).sum(axis=1).max()


def test_like_lengths_go_together(tokenizer):
    random = np.random.default_rng(0)
    texts = ["ball " * n for n in random.integers(1, 30, 640)]
    inputs = read_texts(tokenizer, texts, None, LengthConfig(), 64)
    epoch_batches = list(TextBatches(inputs, {}, batch_size=16, seed=0)(0))
    cells = sum(batch["tokens"].size for batch in epoch_batches)
    assert inputs.lengths.sum() / cells > 0.9
    widths = [batch["tokens"].shape[1] for batch in epoch_batches]
    assert widths != sorted(widths)


def test_processes_share_a_batch(inputs):
    whole = list(batches(inputs, batch_size=33)(0))
    shares = [list(batches(inputs, batch_size=33)(0, rank=rank, world=3)) for rank in range(3)]
    for step, batch in enumerate(whole):
        parts = [share[step] for share in shares]
        assert sum(part["n_targets"] for part in parts) == len(batch["number"])
        if len(batch["number"]) >= 3:
            assert sorted(np.concatenate([part["number"] for part in parts])) == sorted(batch["number"])
        else:
            assert [part["n_targets"] for part in parts] == [1, 0, 0]  # 100 = 3 · 33 + 1
            assert all(len(part["number"]) == 1 for part in parts)


def test_an_epoch_may_draw_its_examples(inputs):
    def choose(random):
        return random.choice(100, 20, replace=False)

    sampled = batches(inputs, choose=choose)
    assert sampled.steps == 3
    first, second = ({*np.concatenate([b["number"] for b in sampled(epoch)])} for epoch in (0, 1))
    assert len(first) == len(second) == 20
    assert first != second


def test_reading_order_bounds_the_tokens_and_leaves_nobody_out(inputs):
    groups, first_row = list(reading_order(inputs, 200)), inputs.first_row
    assert sorted(np.concatenate(groups)) == list(range(100))
    sizes = [gather(inputs, first_row, group)["tokens"].size for group in groups]
    assert max(sizes) <= 200
    assert sum(sizes) < 1.2 * inputs.lengths.sum()
    single = list(reading_order(inputs, 1))
    assert len(single) == 100
