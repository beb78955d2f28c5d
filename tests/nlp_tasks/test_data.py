import json

import polars as pl
import pytest

from nlp_tasks.config import FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.lines import read_lines
from nlp_tasks.splits import hold_out
from recsys_bert.errors import InputError


def read(path, texts=("text",), label="label", separator=None, **settings):
    return read_table(path, FilesConfig(**settings), texts, label, separator)


def test_tsv_has_no_quotes_and_only_line_feeds_end_lines(write):
    path = write("a.tsv", 'text\tlabel\r\n他说"好\t1\r\nline\u2028separator\x85inside\t0\r\n\r\n')
    table = read(path)
    assert table.texts == {"text": ['他说"好', "line\u2028separator\x85inside"]}
    assert table.labels == [("1",), ("0",)]
    assert table.lines == [2, 3]
    assert table.left_out == {}


def test_csv_has_quotes_that_may_span_lines(write):
    table = read(write("a.csv", 'label,other,text\nx,,"one, ""two""\nthree"\ny,,four\n'))
    assert table.texts["text"] == ['one, "two"\nthree', "four"]
    assert table.lines == [2, 4]  # where each begins


def test_a_document_longer_than_the_csv_module_takes_by_itself(write):
    assert len(read(write("a.csv", f"text,label\n{'x' * 200_000},1\n")).texts["text"][0]) == 200_000


def test_json_lines(write):
    rows = [{"text": "a", "label": 3}, {"text": "b", "label": "c"}, {"text": "d", "label": True}]
    table = read(write("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert table.labels == [("3",), ("c",), ("true",)]


def test_pairs_of_escaped_halves_are_characters(write):
    assert read(write("a.jsonl", r'{"text": "a \ud83d\ude00", "label": 1}')).texts == {"text": ["a 😀"]}


def test_files_without_a_header_line(write):
    table = read(write("a.txt", "好的\t5\n不好\t0\n"), format="tsv", columns=("text", "label"))
    assert table.texts["text"] == ["好的", "不好"]
    assert table.lines == [1, 2]


def test_a_label_before_the_text(write):
    table = read(write("stsa", "1 a good , long film\n0 bad\n"), format="label_text")
    assert list(zip(table.texts["text"], table.labels, strict=True)) == [
        ("a good , long film", ("1",)),
        ("bad", ("0",)),
    ]


def test_several_labels(write):
    rows = [{"text": "a", "label": ["x", "y"]}, {"text": "b", "label": []}, {"text": "c", "label": "y, x,"}]
    table = read(write("a.jsonl", "\n".join(map(json.dumps, rows))), separator=",")
    assert table.labels == [("x", "y"), (), ("y", "x")]


def test_a_byte_order_mark_is_no_text(write):
    assert read(write("a.tsv", b"\xef\xbb\xbftext\tlabel\na\t1\n")).texts == {"text": ["a"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text\tlabel\n好\t1\n".encode("gb18030"),
            r"line 2 of .*a\.tsv is not UTF-8: byte 0xba at position 1.*It fits gb18030.*pass --data\.encoding gb18030",
        ),
        ("text\tlabel\n".encode("utf-16"), r"line 1 of .*a\.tsv is not UTF-8.*It fits utf-16"),
        (b"text\tlabel\nok\t1\nab\xffc\t1\n", r"line 3 of .*byte 0xff at position 3"),
    ],
)
def test_what_is_not_utf8_is_named_with_its_line(write, content, message):
    with pytest.raises(InputError, match=message):
        read(write("a.tsv", content))


BAD = "text\tlabel\n \t1\nfine\t1\nno label\t\nthree\tcells\there\n\t0\n"


def test_bad_lines_are_named_by_default(write):
    with pytest.raises(InputError, match=r"line 2 of .*: text is empty; 4 such lines in all \(text is empty: 2,"):
        read(write("a.tsv", BAD))


def test_bad_lines_are_counted_when_dropped(write):
    table = read(write("a.tsv", BAD), bad_rows="drop")
    assert table.texts["text"] == ["fine"]
    counts = {"text is empty": 2, "label is no label": 1, "3 cells where there are 2 columns": 1}
    assert table.left_out == counts


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.tsv", "title\tlabel\nx\t1\n", {}, r"has no column 'text'; it has 'title', 'label'.*--data\.columns"),
        ("a.tsv", "text\ttext\tlabel\n", {}, "two columns called 'text'"),
        ("a.txt", "x", {}, r"the ending '\.txt' is not known.*--data\.format"),
        ("a.tsv", "text\tlabel\n", {}, "holds no example"),
        ("a.tsv", "", {}, "holds no example"),
        ("a.csv", 'text,label\n"open,1\nx,2\n', {}, "begins at line 2 is not CSV"),
        ("a.jsonl", "{bad\n", {}, "line 1 of .*: not JSON"),
        ("a.jsonl", '{"text": "a"}', {}, "no key 'label'"),
        ("a.jsonl", '{"text": 5, "label": 1}', {}, "text is no text"),
        ("a.jsonl", '{"text": "a", "label": [1, 2]}', {}, "label is no label"),
        ("a.jsonl", '{"text": "a", "label": null}', {}, "label is no label"),
        ("a.jsonl", r'{"text": "a \uD83D b", "label": 1}', {}, r"line 1 of .*: half of a character \(a lone surrogate"),
        ("a.jsonl", r'{"text": "a", "label": "\udc00"}', {}, "half of a character"),
    ],
)
def test_what_cannot_be_read_says_why(write, name, content, settings, message):
    with pytest.raises(InputError, match=message):
        read(write(name, content), **settings)


@pytest.mark.parametrize(
    ("name", "content", "flag"),
    [("a.x", "a", "format"), ("a.tsv", "title\tlabel\n", "columns"), ("a.jsonl", "{", "bad-rows")],
)
def test_messages_name_the_settings_of_the_command(write, name, content, flag):
    for flags in ("data", "text"):
        with pytest.raises(InputError, match=rf"--{flags}\.{flag}"):
            read_table(write(name, content), FilesConfig(), ["text"], flags=flags)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone\.tsv cannot be read: No such file"):
        read(tmp_path / "gone.tsv")


def test_examples_are_left_out_by_reason(write):
    path = write("a.tsv", "text\tlabel\na\t1\nb\t2\nc\t1\n")
    with pytest.raises(InputError, match=r"line 3 of .*: odd; 1 such"):
        read(path).without(["", "odd", ""])
    table = read(path, bad_rows="drop")
    good = table.without(["", "odd", ""])
    assert (good.texts["text"], good.labels, good.lines) == (["a", "c"], [("1",), ("1",)], [2, 4])
    assert good.left_out == {"odd": 1}
    with pytest.raises(InputError, match=r"no example that can be used \(odd: 3\)"):
        table.without(["odd"] * 3)


def test_holding_out_cuts_in_two(write):
    lines = ["text\tlabel", "no label\t", *(f"t{n}\t{n % 2}" for n in range(50))]
    table = read(write("a.tsv", "\n".join(lines)), bad_rows="drop")
    train, validation = hold_out(table, 0.2, seed=1)
    assert (len(train), len(validation)) == (40, 10)
    assert (train.left_out, validation.left_out) == ({"label is no label": 1}, {})
    assert sorted(train.lines + validation.lines) == table.lines
    assert hold_out(table, 0.2, seed=1)[1].lines == validation.lines
    assert hold_out(table, 0.2, seed=2)[1].lines != validation.lines
    with pytest.raises(InputError, match="holding out"):
        hold_out(table.take([0, 1]), 0.2, seed=0)


def test_lines_of_plain_text(write):
    assert list(read_lines(write("a.txt", "a\n\n b \r\nc"))) == [(1, "a"), (2, ""), (3, " b "), (4, "c")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": [1, 0, 1]}], "label is a list of 0 and 1, one a class"),
        ([{"text": "a", "label": '["x", '}], "label begins as a JSON list, but is none"),
    ],
)
def test_lists_that_are_no_labels_are_refused(write, rows, message):
    with pytest.raises(InputError, match=f"line 1 of .*: {message}"):
        read(write("a.jsonl", "\n".join(map(json.dumps, rows))), separator=",")


def test_a_cell_may_hold_a_json_list(write):
    table = read(write("a.csv", 'text,label\na,"[""x, y"", ""z""]"\nb,"x,z"\n'), separator=",")
    assert table.labels == [("x, y", "z"), ("x", "z")]


def test_a_json_file_is_lines_or_one_list(write):
    rows = [{"text": "a", "label": 1.0}, {"text": "b", "label": "c"}]
    for content in ("\n".join(map(json.dumps, rows)), json.dumps(rows, indent=1), json.dumps({"data": rows})):
        assert read(write("a.json", content)).labels == [("1",), ("c",)]
    with pytest.raises(InputError, match=r"line 2 of .*: no key 'text' among 'sentence', 'label'"):
        read(write("a.json", json.dumps([rows[0], {"sentence": "a", "label": 1}])))
    with pytest.raises(InputError, match="neither JSON lines nor a list"):
        read(write("a.json", '{"a":\n 1}'))


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a", "b", ""], "label": [0, 1, None]}).write_parquet(path)
    table = read(path, bad_rows="drop")
    assert (table.labels, table.left_out) == ([("0",), ("1",)], {"text is empty": 1})
    with pytest.raises(InputError, match=r"row 3 of .*: text is empty"):
        read(path)
    with pytest.raises(InputError, match="has no column 'topic'; it has 'text', 'label'"):
        read(path, label="topic")


def test_folders_that_are_called_after_labels(tmp_path):
    for name, text in (("pos/0_9", "good\nfilm"), ("neg/0_2", "bad"), ("unsup/0_0", "so so"), ("pos/1_8", " ")):
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    table = read(tmp_path, bad_rows="drop")
    assert table.texts["text"] == ["bad", "good\nfilm"]
    assert table.labels == [("neg",), ("pos",)]
    assert table.left_out == {"text is empty": 1, "without a label (folder unsup)": 1}


def test_tabs_in_a_file_that_is_called_csv(write):
    with pytest.raises(InputError, match=r"its lines have tabs: --data\.format tsv"):
        read(write("a.txt", "a\t1\n"))
    with pytest.raises(InputError, match=r"It has tabs: set --data\.format tsv"):
        read(write("a.csv", "text\tlabel\n"))
