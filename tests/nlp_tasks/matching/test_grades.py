"""Grades and other labels that are no yes or no: refused, whatever is done with unusable rows."""

import pytest

from nlp_tasks import Matcher
from nlp_tasks.config import FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.matching.data import usable_pairs
from recsys_bert.errors import InputError

PAIRS = [("a cat sleeps", "a cat rests", score) for score in (0.0, 1.0, 1, 2.4, 3, 4.5, 5.0, 0, 1)]


def table(write, labels, bad_rows):
    path = write("a.tsv", "first\tsecond\tlabel\n" + "".join(f"a\tb\t{label}\n" for label in labels))
    return read_table(path, FilesConfig(bad_rows=bad_rows), ["first", "second"], "label")


@pytest.mark.parametrize("bad_rows", ["raise", "drop"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3, 4, 5], r"4 of the 6 labels of .* are grades from 2 to 5.*Decide from which grade on"),
        ([0, 1] * 50 + ["3.8"], "grades|3.8"),
        (["entailment", "neutral"], r"are 'entailment', 'neutral', but.*more than two labels apart, classify"),
        ([-1] * 5, "5 of the 5 labels of .* are -1"),
    ],
)
def test_grades_are_refused_and_no_advice_drops_them(write, labels, message, bad_rows):
    with pytest.raises(InputError, match=message) as error:
        usable_pairs({"train": table(write, labels, bad_rows)})
    assert "drop" not in str(error.value)


def test_a_few_bad_labels_can_be_dropped(write):
    usable = usable_pairs({"train": table(write, [0, 1] * 20 + [2], "drop")})["train"]
    assert (len(usable), usable.left_out) == (40, {"label '2' is neither 0 nor 1": 1})


def test_grades_from_python():
    first, second, labels = (list(column) for column in zip(*PAIRS, strict=True))
    with pytest.raises(InputError, match="Decide from which grade on two texts match"):
        Matcher.train(first, second, labels)
