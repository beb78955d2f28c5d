import json
from dataclasses import replace

import pytest

from nlp_tasks.splits import hold_out
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.entities import unseen_types
from nlp_tasks.tagging.files import read_annotated
from nlp_tasks.tagging.schemes import Span
from recsys_bert.errors import InputError

BMES = AnnotatedFilesConfig(scheme="bmes")
IOB2 = AnnotatedFilesConfig(scheme="iob2")


def test_characters_and_tags(write):
    path = write("a.bmes", "高 B-NAME\n勇 E-NAME\n， O\n男 O\n\n\n李 S-NAME\n\u3000 O\n".encode())
    data = read_annotated(path, BMES)
    assert data.lines == [1, 7]
    assert [one.text for one in data.sentences] == ["高勇，男", "李\u3000"]
    assert [one.levels for one in data.sentences] == [((Span(0, 2, "NAME"),),), ((Span(0, 1, "NAME"),),)]
    assert (data.granularity, data.left_out) == ("characters", {})


@pytest.mark.parametrize(
    ("lines", "text", "granularity", "word_separator"),
    [
        ("生 O\n于 O\n2001 O\n年 O\n", "生于2001年", "words", "none"),  # a year in one piece
        ("北京 O\n大学 O\n在 O\n", "北京 大学 在", "words", "space"),
        ("born O\nin O\n2001 O\n", "born in 2001", "words", "space"),
        ("生 O\n于 O\n", "生于", "characters", "none"),
    ],
)
def test_chinese_characters_are_joined_by_nothing(write, lines, text, granularity, word_separator):
    data = read_annotated(write("a.bmes", lines), BMES)
    assert (data.sentences[0].text, data.granularity, data.word_separator) == (text, granularity, word_separator)
    assert [len(word) for word in data.sentences[0].words()] == [len(line.split()[0]) for line in lines.splitlines()]
    assert (
        read_annotated(
            write("b.bmes", lines), AnnotatedFilesConfig(scheme="bmes", word_separator="space")
        ).word_separator
        == "space"
    )


@pytest.mark.parametrize(("text", "word_separator"), [("生于中国", "none"), ("born here", "space")])
def test_plain_text_has_a_word_separator(write, text, word_separator):
    assert read_annotated(write("a.txt", text), AnnotatedFilesConfig(), entities=False).word_separator == word_separator


def test_blanks_around_cells_are_no_part_of_them(write):
    path = write("a.tsv", "Bonn \t B-LOC \n \tO\n\u3000\tO\n")
    (sentence,) = read_annotated(path, IOB2).sentences
    assert sentence.words() == ["Bonn", " ", "\u3000"]  # where every character is a word, so are blanks
    assert sentence.levels == ((Span(0, 1, "LOC"),),)


def test_messages_name_the_settings_of_the_command(write):
    with pytest.raises(InputError, match=r"pass --read\.bad-rows drop"):
        read_annotated(write("a.conll", "a O\nb\n"), IOB2, flags="read")
    with pytest.raises(
        InputError, match=r"no column of .* has tags.*'a \| X'.*with --read\.word-column and --read\.tag"
    ):
        read_annotated(write("a.conll", "a X\n"), AnnotatedFilesConfig(), flags="read")
    with pytest.raises(InputError, match=r"set --read\.format conll"):
        read_annotated(write("a.txt", "a line"), IOB2, flags="read")
    data = read_annotated(write("a.conll", "a O"), IOB2, flags="read")
    with pytest.raises(InputError, match=r"--read\.bad-rows drop"):
        data.without(["odd"])


def test_words_with_two_levels(write):
    lines = ["Crown\tB-OTH\tO", "von\tI-OTH\tO", "Bonn\tI-OTH\tB-LOC", ".\tO\tO"]
    path = write("a.tsv", "\r\n".join(lines))
    nested = read_annotated(path, AnnotatedFilesConfig(scheme="iob2", tag_columns=(1, 2)))
    assert nested.sentences[0].text == "Crown von Bonn ."
    assert nested.sentences[0].levels == ((Span(0, 3, "OTH"),), (Span(2, 3, "LOC"),))
    assert nested.granularity == "words"
    inner = read_annotated(path, IOB2)  # the last column
    assert inner.sentences[0].levels == ((Span(2, 3, "LOC"),),)


def test_marks_between_documents_are_no_sentences(write):
    path = write("a.conll", "-DOCSTART- O\n\nBonn B-LOC\n\n-DOCSTART- O\n\nist O\n")
    data = read_annotated(path, IOB2)
    assert [one.text for one in data.sentences] == ["Bonn", "ist"]
    assert data.left_out == {"mark between documents": 2}


def test_json_lines_with_spans_in_characters(write):
    rows = [
        {"text": "Bank of Bonn grew.", "entities": [{"start": 0, "end": 12, "type": "ORG"}, [8, 12, "LOC"]]},
        {"text": "No one came.", "entities": []},
    ]
    data = read_annotated(write("a.jsonl", "\n".join(map(json.dumps, rows))), AnnotatedFilesConfig())
    assert data.sentences[0].levels == ((Span(0, 3, "ORG"),), (Span(2, 3, "LOC"),))
    assert data.sentences[1].levels == ((),)
    assert data.granularity == "words"


def test_chinese_json_lines_are_cut_into_characters(write):
    row = {"text": "他在IBM中国", "entities": [{"start": 2, "end": 7, "type": "ORG"}]}
    data = read_annotated(write("a.jsonl", json.dumps(row)), AnnotatedFilesConfig())
    assert data.granularity == "characters"
    assert data.sentences[0].levels == ((Span(2, 7, "ORG"),),)


def test_plain_text_for_answering(write):
    path = write("a.txt", "Bonn ist\n\n schön\n")
    data = read_annotated(path, AnnotatedFilesConfig(), entities=False)
    assert (data.lines, [one.text for one in data.sentences]) == ([1, 3], ["Bonn ist", " schön"])
    with pytest.raises(InputError, match="lines of text, which have no entities"):
        read_annotated(path, AnnotatedFilesConfig())
    words = read_annotated(write("b.conll", "Bonn\nist X\n"), AnnotatedFilesConfig(), entities=False)
    assert words.sentences[0].words() == ["Bonn", "ist"]


@pytest.mark.parametrize(
    ("name", "content", "config", "message"),
    [
        ("a.bmes", "高 B-NAME\n勇 I-NAME\n", BMES, r"line 2 of .*: 'I-NAME' is no tag of bmes.*; 1 such lines in all"),
        ("a.bmes", "a O\n\nb O\nc I-X\nd E-X\n\ne I-X\n", BMES, r"line 4 of .*'I-X' is no tag of bmes.*; 2 such"),
        ("a.iob2", "a B-X\nb\n", IOB2, r"line 2 of .*: 1 columns where the file has 2"),
        ("a.iob2", "a\nb\n", IOB2, r"line 1 of .*: columns 0, -1 of 1 are not all different"),
        ("a.iob2", "a X\n", IOB2, r"line 1 of .*: 'X' is no tag of iob2"),
        ("a.tsv", "\tO\n", IOB2, r"line 1 of .*: the word is empty"),
        ("a.bmes", "", BMES, "holds no sentence that can be used"),
        ("a.bmes", "\n \n\n", BMES, "holds no sentence that can be used"),
        ("a.bmes", b"a O\n\xc4\xe3 O\n", BMES, r"line 2 of .* is not UTF-8: byte 0xc4.*It fits gb18030"),
        ("a.x", "a b c\nd\n", AnnotatedFilesConfig(), r"no column of .*a\.x has tags"),
        ("a.conll", "a B-X\nb M-X\nc L-X\n", AnnotatedFilesConfig(), "tags are B, L, M, which no scheme has together"),
        ("a.jsonl", "{", AnnotatedFilesConfig(), "line 1 of .*: not JSON"),
        ("a.jsonl", '["a"]', AnnotatedFilesConfig(), "line 1 of .*: no JSON object"),
        ("a.jsonl", '{"text": "a"}', AnnotatedFilesConfig(), "no list under 'entities'"),
        ("a.jsonl", '{"entities": []}', AnnotatedFilesConfig(), "no text under 'text'"),
        ("a.jsonl", r'{"text": "a\ud83d", "entities": []}', AnnotatedFilesConfig(), "half of a character"),
        ("a.jsonl", '{"text": "ab", "entities": [[0, 3, "X"]]}', AnnotatedFilesConfig(), "lies outside its text"),
        ("a.jsonl", '{"text": "ab", "entities": [[0, "X"]]}', AnnotatedFilesConfig(), r"neither \{start, end, type\}"),
        ("a.jsonl", '{"text": "ab", "entities": [[0, 1, "X"]]}', AnnotatedFilesConfig(), "does not begin and end with"),
    ],
)
def test_bad_files_are_refused_with_their_line(write, name, content, config, message):
    with pytest.raises(InputError, match=message):
        read_annotated(write(name, content), config)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_annotated(tmp_path / "a.bmes", BMES)


def test_sentences_dropped_are_counted_by_reason(write):
    path = write("a.bmes", "a O\n\nb L-X\n\nc S-X\nc\n\nd I-X\ne S-X\n\ne L-X\n")
    data = read_annotated(path, AnnotatedFilesConfig(scheme="bmes", bad_rows="drop"))
    assert data.lines == [1]
    assert data.left_out == {
        "'L-X' is no tag of bmes, as O and B, M, E, S with -TYPE are": 2,
        "1 columns where the file has 2": 1,
        "'I-X' is no tag of bmes, as O and B, M, E, S with -TYPE are": 1,
    }
    assert data.repaired == {"entities in sentences left out": 1}


def test_sentences_left_out_are_counted_once_where_some_are_held_out(write):
    path = write("a.bmes", "a O\n\nb\n\nc M-X\n")
    train, validation = hold_out(read_annotated(path, AnnotatedFilesConfig(scheme="bmes", bad_rows="drop")), 0.5, 0)
    assert (train.left_out, validation.left_out) == ({"1 columns where the file has 2": 1}, {})
    assert (list(train.repaired.values()), validation.repaired) == ([1], {})


def test_types_that_training_does_not_know(write):
    data = read_annotated(write("a.iob2", "a B-X\n\nb B-Y\n"), IOB2)
    reasons = unseen_types(data.sentences, ["X"])
    assert reasons == ["", "entity type 'Y' does not occur in training"]
    with pytest.raises(InputError, match=r"line 3 of .*: entity type 'Y' does not occur in training"):
        data.without(reasons)
    known = replace(data, bad_rows="drop").without(reasons)
    assert known.repaired == {"entities in sentences left out": 1}
    assert (len(known), known.left_out) == (1, {"entity type 'Y' does not occur in training": 1})


def test_settings_that_do_not_fit():
    with pytest.raises(InputError, match="no tag scheme is called 'iob3'"):
        AnnotatedFilesConfig(scheme="iob3")
    with pytest.raises(InputError, match="other than that of the words"):
        AnnotatedFilesConfig(tag_columns=(0,))


@pytest.mark.shared_data
def test_public_files_are_read_whole(shared_data):
    resume = read_annotated(shared_data / "resume-ner" / "test.char.bmes", BMES)
    assert len(resume) == 477
    assert sum(len(one.levels[0]) for one in resume.sentences) == 1630
    german = AnnotatedFilesConfig(scheme="iob2", format="conll", tag_columns=(1, 2))
    nested = read_annotated(shared_data / "germeval2014" / "germ.dev.iob2", german)
    assert len(nested) == 2200
    assert sum(len(one.levels[1]) for one in nested.sentences) > 100
