import pytest

from nlp_tasks.tagging.pu.dictionary import Dictionary, match, read_dictionary
from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import split_words
from recsys_bert.errors import InputError


def matches_of(types, text, granularity="characters"):
    """Text and type of every match."""
    matches = match(Dictionary(types), [split_words(text, granularity)])
    (sentence,) = matches.sentences
    spans = [(sentence.characters(start, stop), kind) for start, stop, kind in sentence.levels[0]]
    return [(sentence.text[a:b], kind) for (a, b), kind in spans], matches


def test_the_longest_entry_matches():
    types = {"董事": "TITLE", "董事长": "TITLE", "北京": "LOC", "北京大学": "ORG"}
    assert matches_of(types, "任北京大学董事长、董事")[0] == [
        ("北京大学", "ORG"),
        ("董事长", "TITLE"),
        ("董事", "TITLE"),
    ]


def test_ambiguous_matches_are_left_out():
    types = {"研究生": "EDU", "生命": "X", "研究": "Y", "起源": "Z"}
    spans, matches = matches_of(types, "研究生命起源")  # from the left 研究生, from the right 研究 and 生命
    assert spans == [("起源", "Z")]
    assert matches.ambiguous == 1
    assert matches.entries == {"起源": 1}


def test_neighbours_and_repeats():
    spans, matches = matches_of({"甲乙": "A", "丙": "B"}, "甲乙甲乙丙甲")
    assert spans == [("甲乙", "A"), ("甲乙", "A"), ("丙", "B")]
    assert matches.entries == {"甲乙": 2, "丙": 1}
    assert matches.ambiguous == 0


def test_matches_begin_and_end_with_words():
    types = {"Bonn": "LOC", "San Remo": "LOC", "bank": "ORG"}
    text = "Bonnville, San Remo and Bonn's banks; San  Remo"
    assert matches_of(types, text, "words")[0] == [("San Remo", "LOC"), ("Bonn", "LOC")]


def test_labels_of_the_sentences_do_not_matter():
    from dataclasses import replace

    sentence = replace(split_words("甲乙丙", "characters"), levels=((Span(0, 3, "GOLD"),),))
    (matched,) = match(Dictionary({"乙": "A"}), [sentence]).sentences
    assert matched.levels == ((Span(1, 2, "A"),),)


def test_a_file_is_read_and_written(tmp_path):
    path = tmp_path / "entities.tsv"
    path.write_text("中国国籍\tCONT\n\n 汉族 \tRACE\n汉族\tRACE\n")
    dictionary = read_dictionary(path)
    assert dictionary.types == {"中国国籍": "CONT", "汉族": "RACE"}
    assert dictionary.left_out == {"a repeated entry": 1}
    dictionary.with_more({"白族": "RACE"}).save(path)
    assert path.read_text() == "中国国籍\tCONT\n汉族\tRACE\n白族\tRACE\n"
    assert len(read_dictionary(path)) == 3


def test_an_entity_of_two_types(tmp_path):
    path = tmp_path / "entities.tsv"
    path.write_text("会计\tPRO\n会计\tTITLE\n会计\tPRO\n汉族\tRACE\n")
    with pytest.raises(InputError, match=r"line 1 of .*: an entity of two types; 3 such lines in all"):
        read_dictionary(path)
    dictionary = read_dictionary(path, "drop")
    assert dictionary.types == {"汉族": "RACE"}
    assert dictionary.left_out == {"an entity of two types": 3}
    assert dictionary.refused == {"会计"}


def test_lines_of_another_form(tmp_path):
    path = tmp_path / "entities.tsv"
    path.write_text("汉族 RACE\n\tRACE\n汉族\t\n汉族\tRACE\t3\n白族\tRACE\n")
    with pytest.raises(InputError, match=r"line 1 of .*: not entity<tab>type; 4 such lines in all"):
        read_dictionary(path)
    assert read_dictionary(path, "drop").left_out == {"not entity<tab>type": 4}


@pytest.mark.parametrize("text", ["", "\n\n", "汉族 RACE\n"])
def test_an_empty_dictionary(tmp_path, text):
    path = tmp_path / "entities.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match="holds no usable entry"):
        read_dictionary(path, "drop")
    with pytest.raises(InputError, match=r"nothing\.tsv cannot be read"):
        read_dictionary(tmp_path / "nothing.tsv")
