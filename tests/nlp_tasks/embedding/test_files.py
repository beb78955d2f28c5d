"""Files of texts and pairs as published."""

import json

import pytest

from nlp_tasks.config import FilesConfig
from nlp_tasks.embedding.data import graded, grades_of
from nlp_tasks.embedding.files import PairColumns, read_pairs
from recsys_bert.errors import InputError

STS = 'main-captions\tMSRvid\t2012test\t000{n}\t{grade}\ta man " eats\tone man eats\n'
NLI = [
    {"gold_label": "entailment", "sentence1": "a", "sentence2": "b", "pairID": "1"},
    {"gold_label": "-", "sentence1": "a", "sentence2": "c", "pairID": "2"},
    {"gold_label": "contradiction", "sentence1": "a", "sentence2": "d", "pairID": "3"},
]
CASES = {
    "sts-b": ("sts.csv", "".join(STS.format(n=n, grade=grade) for n, grade in enumerate(["5.000", "2.4"])), [5, 2.4]),
    "glue": ("dev.tsv", "index\tgenre\tsentence1\tsentence2\tscore\n0\tx\ta\tb\t1.5\n", [1.5]),
    "snli": ("snli.jsonl", "".join(json.dumps(row) + "\n" for row in NLI), [2, 0]),
    "ocnli": ("ocnli.json", json.dumps({"level": "x", "sentence1": "甲", "sentence2": "乙", "label": "neutral"}), [1]),
    "paws-x": ("translated.tsv", "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n2\ta\tc\t1\n", [0, 1]),
    "lcqmc": ("train.tsv", "text_a\ttext_b\tlabel\n甲\t乙\t1\n", [1]),
    "afqmc": ("train.txt", "甲\t乙\t0\n甲\t丙\t1\n", [0, 1]),
    "quoted": ("pairs.csv", 'first,second,score\n"a, b",c,3\n', [3]),
    "matches": ("matches.tsv", "how do I pay\tpaying a bill\n", None),
}


@pytest.mark.parametrize("name", CASES)
def test_published_files_open(write, name):
    file, content, grades = CASES[name]
    table = graded(read_pairs(write(file, content), FilesConfig(), PairColumns()))
    assert list(table.texts) == ["first", "second"]
    known = grades_of(table)
    assert (known if known is None else known.tolist()) == grades
    assert table.left_out == ({"without a label (-)": 1} if name == "snli" else {})


def test_lines_of_text_and_named_columns(write):
    assert read_pairs(write("a.txt", "one\n\ntwo\n"), FilesConfig(), PairColumns()).texts == {"first": ["one", "two"]}
    path = write("b.tsv", "q\ta\tn\tg\nx\ty\tz\t1\n")
    columns = PairColumns(first="q", second="a", score="g", negative="n")
    table = read_pairs(path, FilesConfig(), columns)
    assert (table.texts, table.labels) == ({"first": ["x"], "second": ["y"], "negative": ["z"]}, [("1",)])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.tsv", "a\tb\tc\td\n", "first line has 4 cells .* are neither known names nor two texts"),
        ("a.jsonl", '{"q": "a"}\n', "no columns of texts are recognised among 'q'; name them with --first"),
        ("a.csv", "premise,hypothesis,label\na,b,2\na,c,0\n", "numbers the classes of its pairs .0, 2.*0 may mean"),
    ],
)
def test_what_is_not_recognised_is_refused(write, file, content, message):
    with pytest.raises(InputError, match=message):
        read_pairs(write(file, content), FilesConfig(), PairColumns())
