import numpy as np

from recsys_bert.objectives.last_item import LastItem
from recsys_bert.objectives.sequences import Sequences, TokenTable

TABLE = TokenTable(mask=1, first=3, size=20)
TOKENS = np.array([[5, 6, 7, 8], [9, 4, 0, 0], [6, 5, 2, 0], [7, 0, 0, 0]])
LENGTHS = np.array([4, 2, 3, 1])


def make(open_ended=True, seed=0, **settings):
    sequences = Sequences(tokens=TOKENS, lengths=LENGTHS, open_ended=open_ended, **settings)
    return LastItem().make_batch(sequences, TABLE, np.random.default_rng(seed))


def test_the_last_of_a_history_is_predicted_at_the_one_before_it():
    batch = make(times=TOKENS * 10, segments=TOKENS % 2, features={"type": TOKENS + 1})
    assert batch["tokens"].tolist() == [[5, 6, 7], [9, 0, 0], [6, 5, 0], [7, 0, 0]]
    assert batch["positions"].tolist() == [2, 3]  # row 2 ends in an unknown item, row 3 has nothing before its end
    assert batch["targets"].tolist() == [8, 4]
    assert batch["n_targets"] == 2
    assert batch["times"].tolist() == (TOKENS[:, :3] * 10).tolist()
    assert batch["segments"].tolist() == (TOKENS[:, :3] % 2).tolist()
    assert batch["feature.type"].tolist() == (TOKENS[:, :3] + 1).tolist()


def test_events_that_are_no_targets_and_weights():
    weights = np.arange(16, dtype=np.float32).reshape(4, 4)
    batch = make(targeted=TOKENS != 4, weights=weights)
    assert batch["targets"].tolist() == [8]
    assert batch["weights"].tolist() == [3.0]
    assert batch["total_weight"] == 3.0


def test_a_token_of_a_text_is_drawn_and_what_follows_is_left_out():
    targets = {}
    for seed in range(60):
        batch = make(open_ended=False, seed=seed)
        seq = batch["tokens"].shape[1]
        for position, target in zip(batch["positions"], batch["targets"], strict=True):
            row, column = divmod(int(position), seq)
            assert TOKENS[row, column + 1] == target
            assert batch["tokens"][row].tolist() == TOKENS[row, : column + 1].tolist() + [0] * (seq - column - 1)
            targets.setdefault(row, set()).add(int(target))
    assert targets == {0: {6, 7, 8}, 1: {4}, 2: {5}}
