"""Annotated sentences of PubTator, SIGHAN and CSV, read without a setting."""

import csv
import io
import json
from dataclasses import replace

import pytest

from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.data import LOST
from nlp_tasks.tagging.files import read_annotated
from recsys_bert.errors import InputError

AUTO = AnnotatedFilesConfig()
DROP = replace(AUTO, bad_rows="drop")

TITLE, ABSTRACT = "Lidocaine-induced cardiac asystole.", "A single bolus of lidocaine stopped 😀 the sinus node."
WHOLE = f"{TITLE} {ABSTRACT}"


def mention(surface, kind, text=WHOLE, *more):
    start = text.rindex(surface)
    return "\t".join(["354896", str(start), str(start + len(surface)), surface, kind, "D008012", *more])


PUBTATOR = "\n".join(
    [
        f"354896|t|{TITLE}",
        f"354896|a|{ABSTRACT}",
        mention("Lidocaine", "Chemical"),
        mention("cardiac asystole", "Disease", WHOLE, "cardiac|asystole"),
        mention("sinus node", "Other"),
        "354896\tCID\tD008012\tD006323",
        "",
        "7|t|Bonn",
        "7|a|",
        "",
    ]
)
SIGHAN = "当/o  希望工程/o 救助/o 的/o 中国/ns 北京/ns\n\n　/o 江泽民/nr ／/o 1/2/o //o"
KAGGLE = """Sentence #,Word,POS,Tag
Sentence: 1,Thousands,NNS,O
,of,IN,O
,"1,000",CD,O
,\"\"\"\",``,O
,New,NNP,B-geo
,York,NNP,I-geo
Sentence: 2,Iran,NNP,B-gpe
,'s,POS,O
"""


def surfaces(data):
    return [
        (sentence.text[slice(*sentence.characters(one.start, one.stop))], one.type)
        for sentence in data.sentences
        for one in sentence.levels[0]
    ]


@pytest.mark.parametrize("name", ["CDR_TrainingSet.PubTator.txt", "NCBItrainset_corpus.txt", "a.PubTator"])
def test_pubtator(write, capsys, name):
    data = read_annotated(write(name, PUBTATOR), AUTO)
    assert [one.text for one in data.sentences] == [TITLE, ABSTRACT, "Bonn"]
    assert surfaces(data) == [("Lidocaine", "Chemical"), ("cardiac asystole", "Disease"), ("sinus node", "Other")]
    assert data.lines == [1, 1, 8]
    assert data.repaired == {"relations not read": 1}
    assert "3 sentences, 3 entities\n  1 relations not read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "reason", "lost"),
    [
        (mention("sinus node", "Other").replace("sinus", "Sinus"), "the text beside an entity is 'Sinus node'", 1),
        ("354896\t3\tfive\ta\tOther\tD1", "line 6 is no mention: PMID<tab>start", 3),
        ("354896\t3\t5000\ta\tOther\tD1", "a mention ends behind its text", 4),
        ("354896\tsome note", "line 6 is no mention", 3),
    ],
)
def test_mentions_of_pubtator_that_cannot_be_used(write, line, reason, lost):
    lines = PUBTATOR.splitlines()
    path = write("a.txt", "\n".join([*lines[:5], line, *lines[5:]]))
    with pytest.raises(InputError, match=rf"line 1 of .*: {reason}"):
        read_annotated(path, AUTO)
    data = read_annotated(path, DROP)
    assert data.repaired[LOST] >= lost
    assert len(surfaces(data)) + data.repaired[LOST] >= 3


def test_pubtator_without_a_title(write):
    with pytest.raises(InputError, match=r"line 1 of .*: no title, PMID\|t\|…, comes before it"):
        read_annotated(write("a.pubtator", f"1|a|{ABSTRACT}\n{PUBTATOR}"), AUTO)


def test_a_word_of_sighan_is_an_entity_of_its_own(write):
    data = read_annotated(write("train1.txt", SIGHAN), AUTO)
    assert [one.text for one in data.sentences] == ["当希望工程救助的中国北京", "　江泽民／1/2/"]
    assert surfaces(data) == [("中国", "ns"), ("北京", "ns"), ("江泽民", "nr")]
    assert (data.granularity, data.lines) == ("characters", [1, 3])
    bio = "".join(f"{letter} {tag}\n" for letter, tag in zip("当中国", ("O", "B-ns", "I-ns"), strict=True))
    same = read_annotated(write("bio.conll", bio), AUTO)
    assert same.sentences[0].levels == read_annotated(write("a.txt", "当/o 中国/ns"), AUTO).sentences[0].levels


def test_tags_of_a_scheme_behind_slashes(write):
    data = read_annotated(write("a.txt", "Ada/B-PER Lovelace/I-PER in/O Oslo/B-LOC"), AUTO)
    assert [one.text for one in data.sentences] == ["Ada Lovelace in Oslo"]
    assert surfaces(data) == [("Ada Lovelace", "PER"), ("Oslo", "LOC")]
    data = read_annotated(write("b.txt", "Ada/person in/O New/place York/place"), AUTO)
    assert surfaces(data) == [("Ada", "person"), ("New", "place"), ("York", "place")]


def test_parts_of_speech_are_no_entities(write):
    path = write("199801.txt", "迈向/v 充满/v 希望/n 的/u 世纪/n\n中国/ns 政府/n\n")
    with pytest.raises(InputError, match=r"behind a slash \(n, v, .* none is o, .* set --data.format slashes"):
        read_annotated(path, AUTO)
    assert len(surfaces(read_annotated(path, replace(AUTO, format="slashes")))) == 7


def test_a_line_of_slashes_that_lacks_one(write):
    path = write("a.txt", "当/o 中国/ns\n" * 60 + "当/o 中国/ns 人\n")
    with pytest.raises(InputError, match=r"line 61 of .*: '人' is not word/tag"):
        read_annotated(path, AUTO)
    assert read_annotated(path, DROP).repaired == {LOST: 1}


def test_slashes_are_text_in_prediction_unless_set(write, capsys):
    path = write("a.txt", "当/o 中国/ns")
    assert read_annotated(path, AUTO, entities=False).sentences[0].text == "当/o 中国/ns"
    assert "looks like words with tags (word/tag)" in capsys.readouterr().err
    data = read_annotated(path, replace(AUTO, format="slashes"), entities=False)
    assert data.sentences[0].text == "当中国"


def test_the_csv_of_kaggle(write):
    data = read_annotated(write("ner_dataset.csv", KAGGLE), AUTO)
    assert [one.text for one in data.sentences] == ['Thousands of 1,000 " New York', "Iran 's"]
    assert surfaces(data) == [("New York", "geo"), ("Iran", "gpe")]
    assert data.lines == [2, 8]
    words = read_annotated(write("a.csv", KAGGLE), AUTO, entities=False)
    assert [one.text for one in words.sentences] == [one.text for one in data.sentences]


def test_the_csv_of_kaggle_in_latin_1(write):
    path = write("ner_dataset.csv", KAGGLE.replace("Iran", "Perú").encode("latin-1"))
    with pytest.raises(InputError, match=r"line 8 of .*It fits latin-1.*; pass --data\.encoding latin-1"):
        read_annotated(path, AUTO)
    assert surfaces(read_annotated(path, replace(AUTO, encoding="latin-1")))[1] == ("Perú", "gpe")


def as_csv(header, *rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


@pytest.mark.parametrize("dump", [json.dumps, repr])
def test_csv_with_lists(write, dump):
    """Kaggle's second file, and entities as `tag predict --out` writes them."""
    row = ["Sentence: 1", "Ada in Oslo", dump(["N", "P", "N"]), dump(["B-per", "O", "B-geo"])]
    data = read_annotated(write("ner.csv", as_csv(["Sentence #", "Sentence", "POS", "Tag"], row)), AUTO)
    assert surfaces(data) == [("Ada", "per"), ("Oslo", "geo")]
    entity = {"text": "Oslo", "type": "geo", "start": 7, "end": 11, "score": 0.5}
    content = as_csv(["line", "text", "entities"], ["1", "Ada in Oslo", dump([entity])], ["2", "Ada", "[]"])
    data = read_annotated(write("predicted.csv", content), AUTO)
    assert ([one.text for one in data.sentences], surfaces(data)) == (["Ada in Oslo", "Ada"], [("Oslo", "geo")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", r"no column of words or texts \(word, .*\); its first line has 'a', 'b'"),
        ("word,b\n1,2\n", r"no column of tags or entities \(tag, .* Name one with --data.entities-key"),
        ("word,tag\nAda,O\n,O\n", "line 2 of .*: line 3 has an empty word"),
        ("word,tag\nAda,O\nin\n", "line 3 has 1 cells where there are 2 columns"),
        ("text,label\na goal in the end,sport\n", "'a goal in the end' in place of a word, and a tag that is no list"),
        ('text,entities\nAda,"[[0, 9, ""PER""]]"\n', "an entity lies outside its text"),
        ('text,entities\nAda,"[[0,"\n', "no list under 'entities'"),
        ('word,tag\nAda,"O\n', "is not CSV"),
        ("word,tag\n" + "a,O\n" * 10_001, "more than 10,000 words; is the column that numbers sentences called"),
    ],
)
def test_csv_that_cannot_be_used(write, content, message):
    with pytest.raises(InputError, match=message):
        read_annotated(write("a.csv", content), AUTO)


def test_columns_of_csv_by_name_and_sentences_by_empty_lines(write):
    config = replace(AUTO, text_key="form", entities_key="ent", scheme="bio")
    data = read_annotated(write("a.csv", "form,ent\nAda,B-PER\n,\nin,O\nOslo,B-LOC\n"), config)
    assert [one.text for one in data.sentences] == ["Ada", "in Oslo"]
    assert surfaces(data) == [("Ada", "PER"), ("Oslo", "LOC")]
