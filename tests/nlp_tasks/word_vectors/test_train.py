import json

import numpy as np
import pytest

from nlp_tasks.word_vectors.files import WordVectors
from nlp_tasks.word_vectors.train import train_word_vectors
from recsys_bert.errors import InputError

TOPICS = [["ball", "goal", "team", "match"], ["soup", "bread", "salt", "oven"]]
SETTINGS = {"min_count": 2, "word2vec": {"dim": 8, "batch_size": 64, "lr": 0.1, "sample": 0.0}}


@pytest.fixture
def texts():
    random = np.random.default_rng(0)
    return [" ".join(random.permutation([*random.choice(TOPICS[n % 2], 4), "the", "a"])) for n in range(200)]


def test_words_of_one_topic_are_similar(texts, tmp_path):
    vectors = train_word_vectors(texts, out=tmp_path / "run", **SETTINGS)
    assert {word for word, _ in vectors.similar("ball", k=3)} == {"goal", "team", "match"}
    assert "Soup" in vectors
    assert "fish" not in vectors
    loaded = WordVectors.load(tmp_path / "run")
    assert loaded.words == vectors.words
    np.testing.assert_allclose(loaded["soup"], vectors["soup"], rtol=1e-5)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["counted"]["words"] == 10
    again = train_word_vectors(texts, **SETTINGS)
    np.testing.assert_array_equal(again.table, vectors.table)


def test_bad_calls_are_refused(texts, tmp_path):
    with pytest.raises(InputError, match="texts is a single string"):
        train_word_vectors("ball goal")
    with pytest.raises(InputError, match=r"'word2vec\.width'"):
        train_word_vectors(texts, word2vec={"width": 8})
    train_word_vectors(texts, out=tmp_path / "run", **SETTINGS)
    with pytest.raises(InputError, match=r"is not what .* was begun with"):
        train_word_vectors(texts[1:], out=tmp_path / "run", **SETTINGS)
    with pytest.raises(InputError, match="no word with a vector is called 'bal'; did you mean 'ball'"):
        WordVectors.load(tmp_path / "run").similar("bal")


def test_cosines_by_hand():
    vectors = WordVectors(["a", "b", "c"], np.array([[1, 0], [1, 1], [-2, 0]], np.float32))
    assert vectors.similar("a") == [("b", pytest.approx(0.5**0.5)), ("c", pytest.approx(-1.0))]
