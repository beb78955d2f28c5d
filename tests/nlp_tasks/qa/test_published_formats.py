"""Questions in the forms in which Chinese data sets are published, read without a setting."""

import json

import pytest

from nlp_tasks.qa.config import QuestionFilesConfig
from nlp_tasks.qa.data import unusable
from nlp_tasks.qa.dureader import MALFORMED, NO_SPAN
from nlp_tasks.qa.files import read_set, squad_paragraphs
from recsys_bert.errors import InputError

AUTO = QuestionFilesConfig()
CMRC = [
    {
        "context_id": "TRAIN_0",
        "context_text": "《战国无双3》是由光荣和ω-force开发的战国无双系列的正统第三续作。",
        "title": "战国无双3",
        "qas": [
            {"query_id": "TRAIN_0_QUERY_0", "query_text": "由谁开发？", "answers": ["光荣和ω-force", "光荣"]},
            {"query_id": "TRAIN_0_QUERY_1", "query_text": "是第几作？", "answers": ["正统第三续作"]},
        ],
    }
]
WORDS = [["今天", "下雨"], ["游戏", "模式", "可以", "用", " ", "鲁大师", "，", "很", "快", "用", "鲁大师"]]
DUREADER = {
    "question_id": 181574,
    "question": "怎么提高速度",
    "question_type": "DESCRIPTION",
    "fact_or_opinion": "FACT",
    "documents": [
        {"is_selected": False, "title": "甲", "paragraphs": ["鲁大师"], "segmented_paragraphs": [["鲁大师"]]},
        {
            "is_selected": True,
            "title": "乙",
            "most_related_para": 1,
            "paragraphs": ["".join(words) for words in WORDS],
            "segmented_paragraphs": WORDS,
        },
    ],
    "answers": ["打开鲁大师即可", "鲁大师"],
    "answer_docs": [1],
    "answer_spans": [[9, 10]],
    "fake_answers": ["用鲁大师"],
}
RAW = {name: value for name, value in DUREADER.items() if name not in ("answer_docs", "answer_spans", "fake_answers")}


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_the_first_files_of_cmrc(write):
    path = write("cmrc2018_train.json", json.dumps(CMRC, ensure_ascii=False))
    examples = read_set(path, AUTO)
    assert [(one.id, one.text) for one in examples.questions] == [
        ("TRAIN_0_QUERY_0", "由谁开发？"),
        ("TRAIN_0_QUERY_1", "是第几作？"),
    ]
    for question in examples.questions:
        for answer in question.answers:
            assert examples.passages[0][answer.start : answer.stop] == answer.text
    assert (examples.counts, examples.left_out) == ({}, {})
    assert [text for _, text, _ in squad_paragraphs(path)] == [CMRC[0]["context_text"]]


def test_the_span_of_preprocessed_dureader(write):
    """It is the second place where the words stand; the answers that people wrote remain as references."""
    examples = read_set(write("search.train.json", lines(DUREADER)), AUTO)
    (question,) = examples.questions
    assert (question.id, question.source, examples.passages) == ("181574", "line 1", ["".join(WORDS[1])])
    assert [(answer.text, answer.start) for answer in question.answers] == [
        ("用鲁大师", 14),
        ("打开鲁大师即可", None),
        ("鲁大师", 8),
    ]
    assert examples.passages[0][14:18] == question.target.text
    assert examples.counts == {"answers_not_in_passage": 1}
    assert unusable(examples, train=True, no_answer=False) == [""]


def test_raw_dureader_is_read_where_an_answer_stands_and_counted_elsewhere(write, capsys):
    free = RAW | {"question_id": 2, "answers": ["打开软件即可"]}
    none = RAW | {"question_id": 3, "answers": []}
    outside = DUREADER | {"question_id": 4, "answer_docs": [7], "answers": ["下雨"]}
    examples = read_set(write("zhidao.dev.json", lines(RAW, free, none, outside)), AUTO)
    assert [(one.id, examples.passages[one.passage], one.target.start) for one in examples.questions] == [
        ("181574", "".join(WORDS[1]), 8),  # of the selected document, though another one has it first
        ("4", "今天下雨", 2),
    ]
    assert examples.left_out == {NO_SPAN: 2}
    assert f"2 questions left out: {NO_SPAN}" in capsys.readouterr().err


def test_dureader_without_answers_is_about_all_paragraphs(write):
    test = {name: RAW[name] for name in ("question_id", "question", "documents")}
    (question,) = (examples := read_set(write("search.test1.json", lines(test)), AUTO, answers=False)).questions
    assert examples.passages[question.passage] == "鲁大师\n今天下雨\n游戏模式可以用 鲁大师，很快用鲁大师"
    assert question.answers == ()


@pytest.mark.parametrize("documents", [None, [], ["a"], [{"paragraphs": 3}], [{"title": "a"}]])
def test_odd_documents_are_refused_or_counted(write, documents):
    path = write("a.json", lines(DUREADER, DUREADER | {"documents": documents, "answers": ["a"]}))
    if documents == []:
        assert read_set(path, AUTO).left_out == {NO_SPAN: 1}
        return
    with pytest.raises(InputError, match=f"line 2 of .*: {MALFORMED}; 1 such questions"):
        read_set(path, AUTO)
    assert read_set(path, QuestionFilesConfig(bad_rows="drop")).left_out == {MALFORMED: 1}
