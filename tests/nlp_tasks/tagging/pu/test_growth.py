import numpy as np
import pytest

from nlp_tasks.tagging.pu.dictionary import Dictionary
from nlp_tasks.tagging.pu.growth import Addition, confident_repeats, read_additions, write_additions
from nlp_tasks.tagging.sentences import split_words
from recsys_bert.errors import InputError

SENTENCES = [split_words(text, "characters") for text in ("甲乙在丙", "甲乙", "甲乙与甲乙丁", "丙丙", "戊己戊")]
TYPES = ["A", "B"]
PREDICTED = np.array(
    [
        [0, 0, 2, 0],  # 甲乙
        [0, 3, 4, 1],  # 丙
        [1, 0, 2, 0],
        [2, 0, 2, 0],
        [2, 3, 6, 0],  # 甲乙丁, which holds 甲乙
        [3, 0, 1, 1],  # one of two 丙
        [4, 0, 1, 1],  # 戊 once as B and once as A
        [4, 2, 3, 0],
    ]
)
SCORES = np.array([0.9, 0.9, 0.8, 0.7, 0.9, 0.9, 1.0, 1.0])


def grown(dictionary=None, **changes):
    settings = {"min_repeats": 2, "agreement": 1.0, "min_score": 0.5} | changes
    return confident_repeats(
        SENTENCES, PREDICTED, SCORES, TYPES, Dictionary({}) if dictionary is None else dictionary, **settings
    )


def test_additions_agree_with_all_their_occurrences():
    assert grown() == [Addition("甲乙", "A", 3, 3, pytest.approx(0.8))]
    assert [one.entity for one in grown(agreement=0.6)] == ["甲乙", "丙"]
    assert grown(agreement=0.6)[1] == Addition("丙", "B", 2, 3, pytest.approx(0.9))


def test_only_often_and_with_confidence():
    assert grown(min_repeats=4) == []
    assert grown(min_score=0.81) == []
    assert {one.entity for one in grown(min_repeats=1)} == {"甲乙", "甲乙丁"}
    assert ("戊", "A") in {(one.entity, one.type) for one in grown(min_repeats=1, agreement=0.5)}


def test_known_and_refused_entries_are_not_added():
    assert grown(Dictionary({"甲乙": "A"})) == []
    assert grown(Dictionary({}, {}, frozenset({"甲乙"}))) == []


def test_what_a_line_cannot_hold_is_not_added(tmp_path):
    sentences = [split_words(text, "characters") for text in ("甲\t乙", "甲\n乙", "甲 乙")]
    predicted = np.array([[n, 0, 2, 0] for n in range(3)])
    (added,) = confident_repeats(
        sentences, predicted, np.ones(3), TYPES, Dictionary({}), min_repeats=1, agreement=0.0, min_score=0.0
    )
    assert added.entity == "甲 乙"
    write_additions(tmp_path / "added.tsv", [added])
    assert read_additions(tmp_path / "added.tsv") == [added]


def test_additions_are_kept(tmp_path):
    path = tmp_path / "added.tsv"
    added = grown(agreement=0.6)
    write_additions(path, added)
    assert read_additions(path) == added
    write_additions(path, [])
    assert read_additions(path) == []
    path.write_text("entity\ttype\n甲\tA\tmany\t1\t1\n")
    with pytest.raises(InputError, match=r"line 2 of .*added\.tsv is damaged"):
        read_additions(path)


def test_no_entities():
    nothing = np.empty((0, 4), np.int64)
    assert confident_repeats(
        SENTENCES, nothing, np.empty(0), TYPES, Dictionary({}), min_repeats=1, agreement=0.0, min_score=0.0
    ) == []  # fmt: skip
