import itertools

import pytest

from nlp_tasks.word_vectors.config import WordVectorsConfig
from nlp_tasks.word_vectors.vocabulary import encode_texts
from recsys_bert.errors import InputError


def decoded(encoded):
    """Texts as lists of words, rare ones left out."""
    words, rows, offsets = encoded.words, encoded.sequences.rows, encoded.sequences.offsets
    return [[words[row] for row in rows[start:stop]] for start, stop in itertools.pairwise(offsets)]


def test_rare_words_are_left_out_and_counted():
    encoded = encode_texts(["b A a c", "rare c", "b\ta  A", "odd"], WordVectorsConfig(min_count=2))
    assert encoded.words == ["a", "b", "c"]  # b was met before c
    assert decoded(encoded) == [["b", "a", "a", "c"], ["c"], ["b", "a", "a"], []]
    assert encoded.sequences.size == 3
    assert encoded.counted == {
        "texts": 4,
        "words": 3,
        "occurrences": 8,
        "words_too_rare": 2,
        "occurrences_too_rare": 2,
        "texts_without_neighbours": 2,
    }


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        ("whitespace", ["我爱北京天安门,", "T恤"]),
        ("characters", [*"我爱北京天安门,T恤"]),
        ("jieba", ["我", "爱", "北京", "天安门", ",", "T恤"]),
        ("auto", ["我", "爱", "北京", "天安门", ",", "T恤"]),
    ],
)
def test_tokenizers(tokenizer, expected):
    text = "我爱北京天安门, \u3000T恤"
    (words,) = decoded(encode_texts([text], WordVectorsConfig(tokenizer=tokenizer, min_count=1, lowercase=False)))
    assert words == expected


def test_text_that_is_not_chinese_is_split_at_white_space():
    assert decoded(encode_texts(["It's a 3-day trip"], WordVectorsConfig(min_count=1))) == [
        ["it's", "a", "3-day", "trip"]
    ]


def test_text_without_frequent_words_is_refused():
    with pytest.raises(InputError, match="none of the 3 words in 1 texts occurs 2 times"):
        encode_texts(["a b c"], WordVectorsConfig(min_count=2))
    with pytest.raises(InputError, match="min_count is 0"):
        WordVectorsConfig(min_count=0)
