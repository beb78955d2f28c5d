"""Annotated sentences in the forms in which data sets are published, read without a setting."""

import gzip
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from seqeval.metrics.sequence_labeling import get_entities

from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.data import LOST, REPAIRED
from nlp_tasks.tagging.files import read_annotated
from nlp_tasks.tagging.formats.reading import INCLUSIVE, UTF16
from nlp_tasks.tagging.tag_reading import FILE_SCHEMES, read_repaired, recognise_scheme, tags_of_brackets
from recsys_bert.errors import InputError

AUTO = AnnotatedFilesConfig()

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O

-DOCSTART- -X- -X- O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
# # B-NP O
"""
IOB1 = "EU I-ORG\nrejects O\nAda I-PER\nLovelace I-PER\nBob B-PER\n"
GERMEVAL = """#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann\t[2009-10-17]
1\tUniversität\tB-ORG\tO
2\tTübingen\tI-ORG\tB-LOC
3\tlebt\tO\tO

#\thttp://example.org [2009-10-17]
1\tBonn\tB-LOC\tO
2\t#\tO\tO
"""
WNUT = "# a comment of the annotators\n@paulwalk\tO\nEmpire\tB-location\nState\tI-location\n#\tO\n\t\nESB\tB-location\n"
WEIBO = "科\tO\n技\tO\n李\tB-PER.NAM\n开\tI-PER.NAM\n复\tI-PER.NAM\n\n男\tI-PER.NOM\n人\tI-PER.NOM\n去\tO\n"
MSRA = "当 O\n北 I-LOC\n京 I-LOC\n人 O\n\n上 I-LOC\n海 I-LOC\n"
PEOPLE_DAILY = "海 O\n钓 O\n厦 B-LOC\n门 I-LOC\n与 O\n金 B-LOC\n门 I-LOC\n"
MULTICONER = """# id f5458a3a-cd23-4df4-8384-4e23fe33a66b\tdomain=en
his _ _ O
playlist _ _ O
sonny _ _ B-Artist
rollins _ _ I-Artist

# id 16cbd2a4-0b8d-4f6e-bd3a\tdomain=en
oslo _ _ B-HumanSettlement
"""
UNIVERSAL_NER = """# sent_id = weblog-1
# text = Google in Oslo
1\tGoogle\tB-ORG\t-\tann1
2\tin\tO\t-\tann1
3\tOslo\tB-LOC\t-\tann1
"""
FEW_NERD = "Paul\tperson-actor\nInternational\tperson-actor\nairport\tO\nin\tO\nOslo\tlocation-GPE\n\nthe\tO\n"
BC5CDR = "Naloxone\tB\nreverses\tO\nthe\tO\nantihypertensive\tB\neffect\tI\n"
ONTONOTES = "What WP B-NP O\nin IN B-PP O\nAugust NNP B-NP B-DATE\n1999 CD I-NP I-DATE\n"
CONLL_2012 = """#begin document (bc/cctv/00/cctv_0000); part 000
bc/cctv/00/cctv_0000   0   0    In     IN   (TOP(S(PP*   -   -   -   Speaker#1        *   *   -
bc/cctv/00/cctv_0000   0   1   the     DT      (NP(NP*   -   -   -   Speaker#1   (DATE*   (ARGM-TMP*   *   -
bc/cctv/00/cctv_0000   0   2   summer  NN        (NP*)   -   -   -   Speaker#1        *)   *)   *   -
bc/cctv/00/cctv_0000   0   3   China   NNP         *))   -   -   -   Speaker#1      (GPE)   *   *   -

#end document
"""
RESUME = "高 B-NAME\n勇 E-NAME\n： O\n男 O\n\n汉 S-RACE\n"
BIOES = "Ada B-PER\nLovelace E-PER\nin O\nOslo S-LOC\n"

SHAPES = {  # file name, content, sentences, entities as (type, first word, words)
    "conll2003": ("eng.train", CONLL_2003, 2, [("ORG", 0, 1), ("MISC", 2, 1), ("PER", 0, 2)]),
    "conll2003 as text": ("train.txt", CONLL_2003, 2, [("ORG", 0, 1), ("MISC", 2, 1), ("PER", 0, 2)]),
    "iob1": ("eng.iob", IOB1, 1, [("ORG", 0, 1), ("PER", 2, 2), ("PER", 4, 1)]),
    "germeval": ("NER-de-train.tsv", GERMEVAL, 2, [("ORG", 0, 2), ("LOC", 0, 1)]),
    "wnut17": ("wnut17train.conll", WNUT, 2, [("location", 1, 2), ("location", 0, 1)]),
    "weibo": ("weiboNER_2nd_conll.train", WEIBO, 2, [("PER.NAM", 2, 3), ("PER.NOM", 0, 2)]),
    "msra": ("msra_train_bio", MSRA, 2, [("LOC", 1, 2), ("LOC", 0, 2)]),
    "people daily": ("example.train", PEOPLE_DAILY, 1, [("LOC", 2, 2), ("LOC", 5, 2)]),
    "multiconer": ("en-train.conll", MULTICONER, 2, [("Artist", 2, 2), ("HumanSettlement", 0, 1)]),
    "universal ner": ("en_ewt-ud-train.iob2", UNIVERSAL_NER, 1, [("ORG", 0, 1), ("LOC", 2, 1)]),
    "few-nerd": ("train.txt", FEW_NERD, 2, [("person-actor", 0, 2), ("location-GPE", 4, 1)]),
    "bc5cdr": ("train.tsv", BC5CDR, 1, [("entity", 0, 1), ("entity", 3, 2)]),
    "ontonotes": ("onto.train", ONTONOTES, 1, [("DATE", 2, 2)]),
    "conll2012": ("cctv_0000.v4_gold_conll", CONLL_2012, 1, [("DATE", 1, 2), ("GPE", 3, 1)]),
    "resume": ("train.char.bmes", RESUME, 2, [("NAME", 0, 2), ("RACE", 0, 1)]),
    "bioes": ("a.txt", BIOES, 1, [("PER", 0, 2), ("LOC", 3, 1)]),
}


def entities(data, level=0):
    return [
        (one.type, one.start, one.stop - one.start) for sentence in data.sentences for one in sentence.levels[level]
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_columns_are_recognised(write, shape):
    name, content, sentences, expected = SHAPES[shape]
    data = read_annotated(write(name, content), AUTO)
    assert (len(data), entities(data)) == (sentences, expected)
    assert read_annotated(write(f"{name}.gz", gzip.compress(content.encode())), AUTO).sentences[0].text == (
        data.sentences[0].text
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("科0\tO\n李0\tB-PER.NAM\n开1\tI-PER.NAM\n", ["科", "李", "开"]),
        ("en:Oslo B-LOC\nen:10:30 O\n", ["Oslo", "10:30"]),
        ("科0\tO\n李\tB-PER.NAM\n", ["科0", "李"]),
    ],
)
def test_what_is_added_to_every_word_is_taken_off(write, lines, words):
    data = read_annotated(write("a.conll", lines), AUTO)
    assert data.sentences[0].words() == words
    assert sum(data.repaired.values()) == (len(words) if words[0] != "科0" else 0)


def test_levels_comments_and_numbers_of_germeval(write):
    data = read_annotated(write("NER-de-train.tsv", GERMEVAL), AUTO)
    assert [one.text for one in data.sentences] == ["Universität Tübingen lebt", "Bonn #"]
    assert entities(replace(data, sentences=data.sentences[:1]), 1) == [("LOC", 1, 1)]
    assert data.columns == (1, (2, 3))
    assert (data.left_out, data.repaired) == ({}, {})


def test_a_chunk_column_is_no_level_of_entities(write):
    assert read_annotated(write("eng.train", CONLL_2003), AUTO).columns == (0, (3,))


@pytest.mark.parametrize(("content", "repaired"), [(WEIBO, 1), (MSRA, 0), (IOB1, 0), ("a M-X\n\nb E-X\nc S-X\n", 2)])
def test_repaired_tags_are_counted_and_printed(write, capsys, content, repaired):
    data = read_annotated(write("a.conll", content), AUTO)
    assert data.repaired.get(REPAIRED, 0) == repaired
    assert (f"{repaired} {REPAIRED}" in capsys.readouterr().err) == (repaired > 0)


@pytest.mark.parametrize("letters", ["BI", "BIES", "BMES", "BILU"])
def test_repaired_tags_are_read_as_seqeval_reads_them(letters):
    rng = np.random.default_rng(0)
    tags = ["O", *(f"{letter}-{kind}" for letter in letters for kind in "XY")]
    for _ in range(300):
        sentence = rng.choice(tags, 8).tolist()
        spans, _, problem = read_repaired(sentence, recognise_scheme([sentence]))
        assert problem is None
        like = [tag.translate(str.maketrans("MLU", "IES")) for tag in sentence]
        assert [(one.type, one.start, one.stop - 1) for one in spans] == get_entities(like)


def test_brackets_without_a_match():
    assert tags_of_brackets(["(A*", "*", "*)", "*", "(B)", "(C*)"]) == ["B-A", "I-A", "I-A", "O", "B-B", "B-C"]
    assert read_repaired(["x"], FILE_SCHEMES["bio"])[2][0] == 0


CLUENER = {"text": "彭小军认为，国内银行", "label": {"name": {"彭小军": [[0, 2]]}, "company": {"银行": [[8, 9]]}}}
HUGGING_FACE = {"id": "0", "tokens": ["EU", "rejects", "Ada", "Lovelace"], "ner_tags": [3, 0, 1, 2]}
NAMES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")
LABEL_STUDIO = [
    {
        "data": {"text": "Ada in Oslo"},
        "annotations": [
            {"result": [{"type": "labels", "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}}]}
        ],
    }
]
OBJECTS = {  # one object, its text, its entities in characters
    "cluener": (CLUENER, [("彭小军", "name"), ("银行", "company")]),
    "doccano": (
        {"id": 1, "text": "Ada in Oslo", "label": [[0, 3, "PER"], [7, 11, "LOC"]]},
        [("Ada", "PER"), ("Oslo", "LOC")],
    ),
    "doccano with relations": (
        {
            "text": "Ada in",
            "entities": [{"id": 3, "label": "PER", "start_offset": 0, "end_offset": 3}],
            "relations": [],
        },
        [("Ada", "PER")],
    ),
    "prodigy": (
        {"text": "Ada in", "spans": [{"start": 0, "end": 3, "label": "PER"}], "answer": "accept"},
        [("Ada", "PER")],
    ),
    "label studio": (LABEL_STUDIO[0], [("Ada", "PER")]),
    "hugging face, names": (HUGGING_FACE | {"ner_tags": [NAMES[n] for n in HUGGING_FACE["ner_tags"]]}, None),
    "types alone": (
        {"tokens": ["Ada", "Lovelace", "in"], "ner_tags": ["person", "person", "O"]},
        [("Ada Lovelace", "person")],
    ),
    "type first": ({"text": "Ada in", "entities": [["PER", 0, 3]]}, [("Ada", "PER")]),
}


@pytest.mark.parametrize("shape", OBJECTS)
@pytest.mark.parametrize("form", ["a.jsonl", "lines.json", "list.json", "a.txt"])
def test_json_is_recognised(write, shape, form):
    row, expected = OBJECTS[shape]
    content = json.dumps([row], ensure_ascii=False) if form == "list.json" else json.dumps(row, ensure_ascii=False)
    (sentence,) = read_annotated(write(form, content), AUTO).sentences
    surfaces = [
        (sentence.text[slice(*sentence.characters(one.start, one.stop))], one.type) for one in sentence.levels[0]
    ]
    assert surfaces == ([("EU", "ORG"), ("Ada Lovelace", "PER")] if expected is None else expected)


def test_inclusive_ends_are_known_by_their_text_and_counted(write):
    data = read_annotated(write("train.json", json.dumps(CLUENER)), AUTO)
    assert data.repaired == {INCLUSIVE: 2}
    assert data.granularity == "characters"


def test_a_text_beside_a_span_that_is_another(write):
    row = {"text": "Ada in Oslo", "entities": [{"start": 0, "end": 3, "text": "Oslo", "label": "LOC"}]}
    path = write("a.jsonl", json.dumps(row) + "\n" + json.dumps({"text": "b", "entities": []}))
    with pytest.raises(InputError, match=r"line 1 of .*: the text beside an entity is 'Oslo', but its span cuts out"):
        read_annotated(path, AUTO)
    data = read_annotated(path, replace(AUTO, bad_rows="drop"))
    assert data.repaired == {LOST: 1}


def test_spans_that_javascript_counted(write):
    row = {"text": "😀😀 Ada", "entities": [{"start": 5, "end": 8, "text": "Ada", "label": "PER"}]}
    data = read_annotated(write("a.jsonl", json.dumps(row)), AUTO)
    assert data.sentences[0].characters(*data.sentences[0].levels[0][0][:2]) == (3, 6)
    assert data.repaired == {UTF16: 1}


def test_tags_that_are_numbers_need_names(write):
    path = write("a.json", json.dumps(HUGGING_FACE))
    with pytest.raises(InputError, match="tags are numbers, such as 3; name them in order with tag-names"):
        read_annotated(path, AUTO)
    data = read_annotated(path, replace(AUTO, tag_names=NAMES))
    assert entities(data) == [("ORG", 0, 1), ("PER", 2, 2)]
    with pytest.raises(InputError, match="tag 3 has no name; there are 2 names"):
        read_annotated(path, replace(AUTO, tag_names=NAMES[:2]))


@pytest.mark.parametrize("wrap", [lambda one: {"feature": one, "_type": "Sequence"}, lambda one: [one]])
def test_parquet_of_hugging_face_brings_its_names(tmp_path, wrap):
    table = pa.Table.from_pylist([HUGGING_FACE])
    feature = wrap({"names": list(NAMES), "_type": "ClassLabel"})
    metadata = {"huggingface": json.dumps({"info": {"features": {"ner_tags": feature}}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "train-00000-of-00001.parquet")
    data = read_annotated(tmp_path / "train-00000-of-00001.parquet", AUTO)
    assert entities(data) == [("ORG", 0, 1), ("PER", 2, 2)]


def test_parquet_without_names(tmp_path):
    pl.DataFrame([HUGGING_FACE]).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="tags are numbers"):
        read_annotated(tmp_path / "a.parquet", AUTO)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_folder_of_brat(tmp_path, line_end):
    text = line_end.join(["Ada in Oslo.", "", "New", "York is big."])
    spans = [(0, 3, "PER"), (7, 11, "LOC"), (text.index("New"), text.index(" is"), "LOC")]
    lines = [f"T{n}\t{kind} {a} {b}\t{' '.join(text[a:b].split())}" for n, (a, b, kind) in enumerate(spans)]
    (tmp_path / "doc.txt").write_bytes(text.encode())
    (tmp_path / "doc.ann").write_text("\n".join([*lines, "T9\tPER 0 1;2 3\tA a", "R1\tin Arg1:T0 Arg2:T1", ""]))
    data = read_annotated(tmp_path, AUTO)
    assert [" ".join(one.words()) for one in data.sentences] == ["Ada in Oslo .", "New York is big ."]
    assert entities(data) == [("PER", 0, 1), ("LOC", 2, 1), ("LOC", 0, 2)]
    assert data.repaired == {"discontinuous entities left out": 1}
    assert data.digest is not None


def test_plain_text_is_no_columns(write):
    lines = "Ada lives in Oslo\nshe works a lot\nBob is in Rome\n" * 3
    with pytest.raises(InputError, match="lines of text, which have no entities"):
        read_annotated(write("a.txt", lines), AUTO)
    data = read_annotated(write("a.txt", lines), AUTO, entities=False)
    assert data.sentences[0].text == "Ada lives in Oslo"


def test_columns_in_prediction_are_read_as_lines_with_a_word(write, capsys):
    data = read_annotated(write("a.txt", BIOES), AUTO, entities=False)
    assert [one.text for one in data.sentences][:2] == ["Ada B-PER", "Lovelace E-PER"]
    assert "looks like words with tags" in capsys.readouterr().err
    words = read_annotated(write("a.conll", BIOES), AUTO, entities=False)
    assert [one.text for one in words.sentences] == ["Ada Lovelace in Oslo"]


def test_a_file_without_empty_lines_is_refused(write):
    with pytest.raises(InputError, match="more than 10,000 words; are the empty lines"):
        read_annotated(write("a.conll", "a O\nb B-X\n" * 6000), AUTO)


def test_latin_1_names_itself(write):
    path = write("a.conll", "Köln B-LOC\nist O\nfür O\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"It fits latin-1 or cp1250; pass --data\.encoding latin-1"):
        read_annotated(path, AUTO)
    assert read_annotated(path, replace(AUTO, encoding="latin-1")).sentences[0].text == "Köln ist für"


@pytest.mark.shared_data
def test_public_sets_without_a_setting(shared_data):
    data = read_annotated(shared_data / "germeval2014" / "germ.test.iob2", AUTO)
    assert (len(data), data.columns, data.left_out, data.repaired) == (5100, (0, (1, 2)), {}, {})
    assert (len(entities(data)), len(entities(data, 1))) == (6178, 515)
    data = read_annotated(shared_data / "resume-ner" / "train.char.bmes", AUTO)
    assert (len(data), len(entities(data)), data.left_out, data.repaired) == (3821, 13440, {}, {REPAIRED: 4})
