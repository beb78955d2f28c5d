import zlib

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.prepare.config import SplitConfig, VocabularyConfig
from recsys_bert.clicks.vocabulary import MASK, PAD, UNKNOWN, Vocabulary
from recsys_bert.errors import InputError


@pytest.fixture
def vocabulary():
    return Vocabulary(
        pl.Series([None, None, None, "b", "a", "c"]), np.array([0, 0, 0, 5, 2, 2]), np.array([0.0, 0, 0, 5, 2, 2])
    )


def test_special_rows_come_first(vocabulary):
    assert (PAD, MASK, UNKNOWN) == (0, 1, 2)
    assert (vocabulary.size, vocabulary.first_item, vocabulary.n_items) == (6, 3, 3)


def test_rows_and_ids_are_inverse(vocabulary):
    assert vocabulary.rows(["c", "nobody", "b", "a", "b"]).tolist() == [5, UNKNOWN, 3, 4, 3]
    assert vocabulary.ids([5, 3, 2, 0]).to_list() == ["c", "b", None, None]


def test_ids_of_another_type_are_refused():
    numbers = Vocabulary(pl.Series([None, None, None, 7]), np.zeros(4, np.int64), np.zeros(4))
    assert numbers.rows(["7", "8"]).tolist() == [3, UNKNOWN]
    with pytest.raises(InputError, match="item ids of this log are integers"):
        numbers.rows(["seven"])


def test_saved_and_loaded_are_equal(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocabulary.parquet")
    loaded = Vocabulary.load(tmp_path / "vocabulary.parquet")
    assert loaded.item_ids.equals(vocabulary.item_ids, null_equal=True)
    assert loaded.counts.tolist() == vocabulary.counts.tolist()
    assert loaded.fingerprint == vocabulary.fingerprint
    (tmp_path / "vocabulary.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as a vocabulary"):
        Vocabulary.load(tmp_path / "vocabulary.parquet")


def test_fingerprint_tells_order_and_ids_apart(vocabulary):
    swapped = Vocabulary(pl.Series([None, None, None, "a", "b", "c"]), vocabulary.counts, vocabulary.weights)
    buckets = Vocabulary(vocabulary.item_ids, vocabulary.counts, vocabulary.weights, n_unknown=2)
    assert len({vocabulary.fingerprint, swapped.fingerprint, buckets.fingerprint}) == 3


LOG = [
    (1, "a", 1),
    (1, "c", 2),
    (1, "b", 3),
    (2, "b", 1),
    (2, "c", 2),
    (2, "new", 3),
    (3, "b", 5),
    (3, "rare", 6),
    (3, "c", 7),
    (3, "b", 9),
]


def test_rows_follow_training_counts_then_ids(prepare):
    dataset = prepare(LOG, split=SplitConfig(validation=False))
    # training: a c | b c | b rare c → c 3, b 2, a 1, rare 1; "new" and the last "b" are held out
    assert dataset.vocabulary.item_ids.to_list() == [None] * 3 + ["c", "b", "a", "rare"]
    assert dataset.vocabulary.counts.tolist() == [0, 0, 0, 3, 2, 1, 1]
    assert dataset.histories.items.tolist() == [5, 3, 4, 4, 3, UNKNOWN, 4, 6, 3, 4]
    assert dataset.manifest.cold["held_out_events_on_unknown_items"] == 1


def test_rare_items_share_hashed_unknown_rows(prepare):
    dataset = prepare(
        LOG, split=SplitConfig(validation=False), vocabulary=VocabularyConfig(min_count=2, unknown_rows=4)
    )
    vocabulary = dataset.vocabulary
    assert vocabulary.item_ids.to_list() == [None] * 6 + ["c", "b"]
    expected = {name: UNKNOWN + zlib.crc32(name.encode()) % 4 for name in ("a", "rare", "new")}
    assert dataset.histories.items.tolist() == [
        expected["a"], 6, 7, 7, 6, expected["new"], 7, expected["rare"], 6, 7,
    ]  # fmt: skip
    assert vocabulary.rows(["rare", "c", "a"]).tolist() == [expected["rare"], 6, expected["a"]]
    assert dataset.manifest.cold["rare_items_called_unknown"] == 2
    assert dataset.manifest.cold["training_events_on_unknown_items"] == 2


def test_weights_are_summed_over_training(prepare, tmp_path):
    log = pl.DataFrame(
        {"user_id": [1, 1, 1, 1], "item_id": [5, 6, 5, 5], "timestamp": [1, 2, 3, 4], "stars": [2.0, 3.0, 4.0, 50.0]}
    )
    log.write_parquet(tmp_path / "stars.parquet")
    dataset = prepare(tmp_path / "stars.parquet", log_options={"weight": "stars"}, split=SplitConfig(validation=False))
    assert dataset.vocabulary.weights.tolist() == [0, 0, 0, 6.0, 3.0]
