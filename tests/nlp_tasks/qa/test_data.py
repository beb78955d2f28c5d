import json

import pytest

from nlp_tasks.qa.config import QuestionFilesConfig
from nlp_tasks.qa.data import hold_out_passages, unusable
from nlp_tasks.qa.files import read_set, squad_paragraphs
from recsys_bert.errors import InputError

DROP = QuestionFilesConfig(bad_rows="drop")
PASSAGE = "  Ann was born in Bonn.\nShe died in Rome, not in Bonn. "


def squad(*questions, passage=PASSAGE):
    return json.dumps(
        {"version": "1", "data": [{"title": "t", "paragraphs": [{"context": passage, "qas": questions}]}]}
    )


def squad_question(*answers, text="Where?", **more):
    objects = [{"text": one, "answer_start": start} for one, start in answers]
    return {"id": "q", "question": text, "answers": objects} | more


def lines(*rows):
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


def test_the_form_of_squad(write):
    examples = read_set(
        write("a.json", squad(squad_question(("Bonn", 18)), squad_question(("Rome", 36), ("in Rome", 33)))), DROP
    )
    assert examples.passages == [PASSAGE]  # blanks and all: characters are counted in it
    first, second = examples.questions
    assert (first.id, first.text, first.passage, first.source) == (
        "q",
        "Where?",
        0,
        "question 1 of paragraph 1 of article 1",
    )
    assert [(one.text, one.start) for one in second.answers] == [("Rome", 36), ("in Rome", 33)]
    assert second.target.text == "Rome"
    assert (examples.left_out, examples.counts) == ({}, {})


def test_answers_that_are_elsewhere_or_nowhere(write):
    """The nearest place is taken; blanks around an answer are no part of it."""
    rows = [
        squad_question(("Bonn", 20)),
        squad_question(("Bonn", 44)),
        squad_question((" Bonn ", 17)),
        squad_question(("Bern", 3)),
        squad_question(("Bern", 3), ("Rome", 0)),
    ]
    examples = read_set(write("a.json", squad(*rows)), DROP)
    assert [question.answers[-1].start for question in examples.questions] == [18, 49, 18, None, 36]
    assert examples.counts == {"answers_begin_elsewhere": 3, "answers_not_in_passage": 2}
    for question in examples.questions:
        for answer in question.answers:
            if answer.start is not None:
                assert PASSAGE[answer.start : answer.start + len(answer.text)] == answer.text
    assert unusable(examples, train=True, no_answer=True) == ["", "", "", "the answer is not in its passage", ""]
    assert unusable(examples, train=False, no_answer=False) == [""] * 5  # held out, it is still a text to compare with


def test_questions_without_an_answer(write):
    rows = [squad_question(), squad_question(("Rome", 36), is_impossible=True), squad_question(("Rome", 36))]
    path = write("a.json", squad(*rows))
    examples = read_set(path, DROP)
    assert [len(question.answers) for question in examples.questions] == [0, 0, 1]
    reason = "no answer, and task.no_answer is not set"
    assert unusable(examples, train=True, no_answer=False) == [reason, reason, ""]
    assert unusable(examples, train=True, no_answer=True) == ["", "", ""]
    with pytest.raises(InputError, match=r"question 1 of paragraph 1 of article 1 of .*: no answer.*2 such questions"):
        read_set(path, QuestionFilesConfig()).without(unusable(examples, train=True, no_answer=False))
    assert examples.without(unusable(examples, train=True, no_answer=False)).left_out == {reason: 2}


def test_json_lines_in_three_forms(write):
    row = {"question": "Where?", "context": PASSAGE}
    content = lines(
        row | {"answers": ["Rome"]},
        "",
        row | {"answers": [{"text": "Rome", "answer_start": 36}], "id": 7},
        row | {"answers": {"text": ["Rome", "Bonn"], "answer_start": [36, 49]}, "context": "In Rome."},
    )
    examples = read_set(write("a.jsonl", content), QuestionFilesConfig())
    assert [question.id for question in examples.questions] == ["line 1", "7", "line 4"]
    assert [question.passage for question in examples.questions] == [0, 0, 1]  # equal passages once
    assert examples.questions[2].target.start == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": " ", "context": "a", "answers": []}, "question is empty"),
        ({"question": "a", "context": "\n", "answers": []}, "context is empty"),
        ({"question": "a", "answers": []}, "no key 'context'"),
        ({"question": 3, "context": "a", "answers": []}, "question is no text"),
        ({"question": "a", "context": "a"}, "answers are no list"),
        ({"question": "a", "context": "a", "answers": ["a", " "]}, "an answer is empty"),
        ({"question": "a", "context": "a", "answers": [{"text": "a", "answer_start": "0"}]}, "answers are no list"),
        ("[1]", "no JSON object"),
        ("{", "not JSON"),
    ],
)
def test_questions_that_cannot_be_used(write, row, reason):
    good = {"question": "a", "context": "a", "answers": ["a"]}
    path = write("a.jsonl", lines(good, row))
    with pytest.raises(InputError, match=f"line 2 of .*a.jsonl: {reason}.*; 1 such questions in all"):
        read_set(path, QuestionFilesConfig())
    examples = read_set(path, DROP)
    assert len(examples) == 1
    assert sum(examples.left_out.values()) == 1


@pytest.mark.parametrize(("name", "form"), [("a.jsonl", json.dumps), ("a.json", lambda row: squad(row, passage="a"))])
@pytest.mark.parametrize("key", ["question", "answers"])
def test_halves_of_characters_cannot_be_used(write, name, form, key):
    row = {"question": "a", "context": "a", "answers": ["a"]} | {key: "\ud83d" if key == "question" else ["\ud83d"]}
    with pytest.raises(InputError, match="half of a character"):
        read_set(write(name, form(row)), QuestionFilesConfig())


def test_answers_need_not_be_there_where_none_are_read(write):
    examples = read_set(
        write("a.jsonl", lines({"question": "a", "context": "b"})), QuestionFilesConfig(), answers=False
    )
    assert examples.questions[0].answers == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"data": [\n"\xc4\xe3"]}', "line 2 of .*a.json is not UTF-8"),
        ("a.json", '{"data": [{"paragraphs": [{}]}]}', "is not in SQuAD's form"),
        ("a.json", "[1]", "is not in SQuAD's form"),
        ("a.json", '[{"context_text": "a", "qas": [{"query": "b"}]}]', "nor CMRC's .*KeyError.*query_text"),
        ("a.json", '{"data": []}', "holds no question that can be used"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.txt", "", "Set --data.format to squad, jsonl or parquet"),
        ("a.jsonl", "\n", "holds no question that can be used"),
    ],
)
def test_files_that_cannot_be_read(write, name, content, message):
    with pytest.raises(InputError, match=message):
        read_set(write(name, content), QuestionFilesConfig())


def test_held_out_passages_share_no_question(write):
    rows = [{"question": f"q{n}", "context": f"c{n % 7}", "answers": ["c"]} for n in range(40)]
    examples = read_set(write("a.jsonl", lines(*rows)), QuestionFilesConfig())
    training, validation = hold_out_passages(examples, 0.3, seed=0)
    assert len(training) + len(validation) == 40
    assert len(validation.passages) == 2
    assert not set(training.passages) & set(validation.passages)
    for part in (training, validation):
        for question in part.questions:
            assert part.passages[question.passage] == f"c{int(question.text[1:]) % 7}"
    assert hold_out_passages(examples, 0.3, seed=0)[1].passages == validation.passages
    with pytest.raises(InputError, match="leaves nothing for training or for validation"):
        hold_out_passages(examples, 0.01, seed=0)


def test_passages_of_a_set(write):
    assert [(source, text) for source, text, _ in squad_paragraphs(write("a.json", squad()))] == [
        ("paragraph 1 of article 1", PASSAGE)
    ]
