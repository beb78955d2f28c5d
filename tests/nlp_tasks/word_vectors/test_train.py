import itertools

import pytest

from nlp_tasks.word_vectors.config import VectorTextConfig
from nlp_tasks.word_vectors.train import cut_words
from recsys_bert.errors import InputError


def told(cut):
    """Texts in the words that are left of them."""
    words, rows, offsets = cut.words, cut.sequences.rows, cut.sequences.offsets
    return [[words[row] for row in rows[start:stop]] for start, stop in itertools.pairwise(offsets)]


def test_rare_words_are_left_out_and_counted():
    cut = cut_words(["b A a c", "rare c", "b\ta  A", "odd"], VectorTextConfig(min_count=2))
    assert cut.words == ["a", "b", "c"]  # b was met before c
    assert told(cut) == [["b", "a", "a", "c"], ["c"], ["b", "a", "a"], []]
    assert cut.sequences.size == 3
    assert cut.counted == {
        "texts": 4,
        "words": 3,
        "occurrences": 8,
        "words_too_rare": 2,
        "occurrences_too_rare": 2,
        "texts_without_neighbours": 2,
    }


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("blanks", ["我爱北京天安门,", "T恤"]),
        ("characters", [*"我爱北京天安门,T恤"]),
        ("jieba", ["我", "爱", "北京", "天安门", ",", "T恤"]),
        ("auto", ["我", "爱", "北京", "天安门", ",", "T恤"]),
    ],
)
def test_units(unit, expected):
    text = "我爱北京天安门, \u3000T恤"
    (found,) = told(cut_words([text], VectorTextConfig(unit=unit, min_count=1, lowercase=False)))
    assert found == expected


def test_text_that_is_not_chinese_is_cut_at_blanks():
    assert told(cut_words(["It's a 3-day trip"], VectorTextConfig(min_count=1))) == [["it's", "a", "3-day", "trip"]]


def test_text_without_frequent_words_is_refused():
    with pytest.raises(InputError, match="none of the 3 words in 1 texts occurs 2 times"):
        cut_words(["a b c"], VectorTextConfig(min_count=2))
    with pytest.raises(InputError, match="min_count is 0"):
        VectorTextConfig(min_count=0)
