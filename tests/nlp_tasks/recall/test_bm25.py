import math

import numpy as np
import pytest

from nlp_tasks.recall.bm25 import BM25
from nlp_tasks.recall.words import chinese_words, plain_words
from recsys_bert.errors import InputError

TEXTS = ["the cat sat on the cat", "a dog sat", "Birds, and a cat!", "nothing else here at all"]


def by_the_formula(question, texts, k1, b):
    """Lucene's BM25, term by term."""
    rows = [plain_words(text) for text in texts]
    mean = sum(map(len, rows)) / len(rows)
    scores = []
    for row in rows:
        score = 0.0
        for word in plain_words(question):
            df, tf = sum(word in one for one in rows), row.count(word)
            idf = math.log(1 + (len(rows) - df + 0.5) / (df + 0.5))
            score += idf * tf / (tf + k1 * (1 - b + b * len(row) / mean)) if tf else 0.0
        scores.append(score)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (1.2, 0.0)])
def test_scores_are_those_of_the_formula(k1, b):
    index = BM25(TEXTS, plain_words, k1=k1, b=b)
    for question in ("cat", "a Cat sat?", "cat cat dog", "zebra", ""):
        np.testing.assert_allclose(index.scores(question), by_the_formula(question, TEXTS, k1, b), rtol=1e-5)


def test_the_best_come_first_and_equal_ones_in_order():
    index = BM25([*TEXTS, "a dog sat"], plain_words)
    ((rows, scores), (cats, _), (none, _)) = index.search(["dog", "cat sat", "zebra"], 10)
    assert rows.tolist() == [1, 4]  # none that shares no word
    assert scores[0] == scores[1] > 0
    both = index.scores("cat sat")
    assert cats.tolist() == [row for row in np.argsort(-both, kind="stable") if both[row] > 0]
    assert index.search(["cat sat"], 2)[0][0].tolist() == cats[:2].tolist()
    assert len(none) == 0
    assert index.search([], 3) == []
    assert len(index) == 5


def test_a_folder_keeps_the_index_of_the_same_paragraphs_and_settings(tmp_path):
    cuts = []

    def cut(text):
        cuts.append(text)
        return plain_words(text)

    folder, questions = tmp_path / "index", ["cat sat", "zebra", "cat cat dog"]
    for paragraphs, settings, counted in (
        (TEXTS, {}, 4),
        (TEXTS, {}, 0),
        (TEXTS, {"k1": 0.9}, 4),
        ([*TEXTS, "a dog"], {"k1": 0.9}, 5),
        ([*TEXTS, "a dog"], {"k1": 0.9}, 0),
    ):
        cuts.clear()
        stored = BM25.stored(folder, paragraphs, "words", cut, **settings)
        assert len(cuts) == counted
        plain = BM25(paragraphs, plain_words, **settings)
        assert len(stored) == len(plain)
        for question in questions:
            np.testing.assert_array_equal(stored.scores(question), plain.scores(question))


def test_an_index_that_cannot_be_kept_or_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is there and holds no index of paragraphs"):
        BM25.stored(tmp_path, TEXTS, "words", plain_words)
    BM25.stored(tmp_path / "index", TEXTS, "words", plain_words)
    (tmp_path / "index" / "mine.txt").write_text("")
    with pytest.raises(InputError, match=r"holds other things as well \(mine.txt\)"):
        BM25.stored(tmp_path / "index", TEXTS[:2], "words", plain_words)
    (tmp_path / "index" / "data.csc.index.npy").write_bytes(b"no")
    with pytest.raises(InputError, match=r"data\.csc\.index\.npy is damaged.* or delete"):
        BM25.stored(tmp_path / "index", TEXTS, "words", plain_words)


def test_words():
    assert plain_words("The cat's 3.14") == ["the", "cat", "s", "3", "14"]
    words = chinese_words()
    assert words("他在中华人民共和国工作， OK。")[-2:] == ["工作", "ok"]
    assert "人民" in words("中华人民共和国")  # the words within a long word as well
    assert "中华人民共和国" in words("中华人民共和国")


def test_paragraphs_without_a_word():
    assert BM25(["。。", "a b"], plain_words).search(["a"], 5)[0][0].tolist() == [1]
    with pytest.raises(InputError, match="none of the 2 paragraphs has a word"):
        BM25(["。。", "!"], plain_words)
