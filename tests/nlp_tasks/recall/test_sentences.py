import pytest

from nlp_tasks.recall.sentences import sentence_spans


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("他说：“好。”然后走了！真的？没有", ["他说：“好。”", "然后走了！", "真的？", "没有"]),
        ('Pi is 3.14. Done "yes." Ok', ["Pi is 3.14.", 'Done "yes."', "Ok"]),
        ("一行\n\n  二行。。。三", ["一行", "二行。。。", "三"]),
        ("no end", ["no end"]),
        ("", []),
        (" \n ", []),
        ("!!! What?! (Really.) Yes", ["!!!", "What?!", "(Really.)", "Yes"]),
    ],
)
def test_sentences(text, sentences):
    assert [text[start:stop] for start, stop in sentence_spans(text)] == sentences


def test_a_long_line_without_an_end_takes_linear_time():
    assert sentence_spans("a" * 1_000_000) == [(0, 1_000_000)]
