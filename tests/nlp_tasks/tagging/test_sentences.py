import pytest

from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import join_words, levels_of, split_words, words_within


def test_plain_text_is_cut_into_words_or_characters():
    text = "Don't ask IBM中国 in\u00a02019年."
    assert split_words(text, "words").words() == ["Don", "'", "t", "ask", "IBM", "中", "国", "in", "2019", "年", "."]
    assert split_words("a 中b\n9", "characters").words() == ["a", "中", "b", "9"]
    assert len(split_words(" \n", "words")) == 0


@pytest.mark.parametrize("word_separator", ["", " "])
def test_joined_words_lie_where_the_words_say(word_separator):
    sentence = join_words(["ab", "c", "def"], word_separator)
    assert sentence.text == word_separator.join(["ab", "c", "def"])
    assert sentence.words() == ["ab", "c", "def"]
    assert sentence.characters(1, 3) == ((2, 6) if not word_separator else (3, 8))


def test_levels_go_from_the_outside_in():
    inner, outer, other = Span(1, 2, "LOC"), Span(0, 3, "ORG"), Span(4, 5, "PER")
    assert levels_of([inner, other, outer]) == ((outer, other), (inner,))
    crossing = [Span(0, 2, "A"), Span(1, 4, "B"), Span(3, 5, "C")]
    assert levels_of(crossing) == ((crossing[1],), (crossing[0], crossing[2]))
    assert levels_of([]) == ((),)


def test_characters_become_words_or_none():
    sentence = split_words("von Bonn-Beuel kam", "words")  # von, Bonn, -, Beuel, kam
    assert words_within(sentence, 4, 14) == (1, 4)
    assert words_within(sentence, 3, 15) == (1, 4)  # blanks at the ends are nobody's
    assert words_within(sentence, 0, 18) == (0, 5)
    assert words_within(sentence, 5, 14) is None
    assert words_within(sentence, 4, 12) is None
    assert words_within(sentence, 3, 4) is None
