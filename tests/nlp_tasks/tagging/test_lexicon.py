import numpy as np
import pytest

from nlp_tasks.tagging.config import LexiconConfig
from nlp_tasks.tagging.lexicon.lexicon import NONE, RARE, Lexicon, read_word_vectors, read_words
from nlp_tasks.tagging.sentences import split_words
from nlp_tasks.word_vectors.files import WordVectors
from recsys_bert.errors import InputError

WORDS = ["中国", "中国人", "国人", "人", "银行", "中国人民银行"]


def matches(lexicon, text, granularity="characters"):
    return lexicon.matches([split_words(text, granularity)])[:, 1:].tolist()


def test_every_word_that_occurs_is_found_at_word_borders():
    lexicon = Lexicon.count(WORDS, [split_words("中国人人", "characters"), split_words("在中国", "characters")], 1)
    row = {"中国": 2, "人": 3, "中国人": 4, "国人": 5}  # the most frequent first
    assert [lexicon.words[word] for word in row] == [2, 2, 1, 1]
    # outside of longer words: 中国 in the second sentence, 人 at the end of the first, 国人 never
    assert [lexicon.outermost[word] for word in row] == [1, 1, 1, 0]
    assert lexicon.counts == [1, 1, 1, 1, 1, 1]
    assert matches(lexicon, "中国人") == [
        [0, 2, row["中国"]],
        [0, 3, row["中国人"]],
        [1, 3, row["国人"]],
        [2, 3, row["人"]],
    ]
    assert matches(lexicon, "银行") == [[0, 2, RARE]]  # in the lexicon, but never seen
    assert matches(lexicon, "无") == []
    assert matches(lexicon, "中 国") == []
    assert lexicon.matches([]).shape == (0, 4)


def test_sentences_are_numbered():
    lexicon = Lexicon({"a": 3, "b c": 5}, 1)
    sentences = [split_words(text, "words") for text in ("x a", "", "b c a")]
    np.testing.assert_array_equal(lexicon.matches(sentences), [[0, 1, 2, 3], [2, 0, 2, 2], [2, 2, 3, 3]])


def test_rare_words_share_a_row():
    lexicon = Lexicon({"a": 1, "b": 2, "c": 0}, 2)
    assert lexicon.counts == [1, 1, 2]
    assert matches(lexicon, "abc") == [[0, 1, RARE], [1, 2, 2], [2, 3, RARE]]
    assert NONE == 0


def test_a_row_counts_as_often_as_its_word_stands_outside_of_longer_ones():
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abc"), 12)) for _ in range(30)]
    words = ["a", "ab", "bc", "abc", "bca", "cab", "cc", "bb"]
    lexicon = Lexicon.count(words, [split_words(text, "characters") for text in texts], 1)
    expected = dict.fromkeys(words, 0)
    for text in texts:
        spans = [(at, at + len(word), word) for word in words for at in range(12) if text.startswith(word, at)]
        for start, stop, word in spans:
            expected[word] += not any(a <= start and stop <= b and (a, b) != (start, stop) for a, b, _ in spans)
    assert lexicon.outermost == expected
    assert lexicon.counts[2:] == [max(1, expected[word]) for word in lexicon.names[2:]]


def test_saved_and_loaded_it_finds_the_same(tmp_path):
    before = Lexicon.count(WORDS, [split_words("中国人在中国的中国", "characters")], 2)
    assert (before.words["中国"], before.counts) == (3, [1, 1, 2])
    before.save(tmp_path)
    after = Lexicon.load(tmp_path, 2)
    assert after.counts == before.counts
    assert matches(after, "中国人民银行的人") == matches(before, "中国人民银行的人")
    (tmp_path / "lexicon.tsv").write_text("a\tb\n")
    with pytest.raises(InputError, match=r"line 1 of .* is damaged"):
        Lexicon.load(tmp_path, 2)


def test_words_with_a_vector_have_a_row_of_their_own(tmp_path):
    vectors = WordVectors(["国人", "a"], np.array([[1, 2], [3, 4]], np.float32), repeated=1)
    lexicon = Lexicon.count([*WORDS, "A"], [split_words("中国人在中国", "characters")], 2, vectors)
    assert lexicon.names == ["", "", "中国", "国人", "A"]  # 国人 is too rare without its vector, A was never seen
    assert lexicon.counts == [1, 1, 1, 1, 1]
    assert matches(lexicon, "A国人") == [[0, 1, 4], [1, 3, 3], [2, 3, RARE]]
    assert lexicon.counted == {"words": 7, "rows": 5, "rows_with_vectors": 2, "repeated_vectors": 1}
    lexicon.save(tmp_path)
    after = Lexicon.load(tmp_path, 2)
    assert (after.names, after.counts, after.vectors) == (lexicon.names, lexicon.counts, None)
    assert matches(after, "A国人") == matches(lexicon, "A国人")


def test_vectors_of_the_lexicons_words_are_read(write):
    file = write("vectors.txt", "2 2\na 1 2\nb 3 4\n")
    assert read_word_vectors(file, ["A", "c"]).words == ["a"]
    assert read_word_vectors(None, ["a"]) is None
    with pytest.raises(InputError, match=r"set lexicon\.name"):
        LexiconConfig(vectors=file)


def test_words_of_a_file_and_of_jieba(write):
    file = write("words.txt", "中国 12 ns\n\n中国\n中国人民银行 3\n人\n")
    assert read_words(file, 4) == ["中国", "人"]
    with pytest.raises(InputError, match="holds no word of at most 4 characters"):
        read_words(write("none.txt", "\n"), 4)
    with pytest.raises(InputError, match="cannot be read"):
        read_words(file.with_name("missing.txt"), 4)
    words = read_words(None, 10)
    assert len(words) > 300_000
    assert "中国人民银行" in words
