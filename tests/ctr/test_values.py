"""Lists in a cell: as lists, as JSON or Python text, or cut at a separator."""

import polars as pl
import pytest

from recsys_bert.ctr.values import as_lists
from recsys_bert.errors import InputError


@pytest.mark.parametrize(
    "column",
    [
        [["7", "12"], ["7"], [], None],
        [[7, 12], [7], [], None],
        [[7.0, 12.0], [7.0], [], None],
        [[7, None, 12], [7], [None], None],
        ["[7, 12]", "[7]", "[]", None],
        ["[7 12]", " [7] ", "[]", ""],
        ["['7', '12']", "['7']", "[]", None],
        ['["7", "12"]', '["7"]', "[]", None],
        ["7 12", "7", "", None],
        ["7.0 12.0", " 7", "", None],
    ],
)
def test_lists_are_the_same_however_they_are_written(column):
    assert as_lists(pl.Series("x", column), " ").to_list() == [["7", "12"], ["7"], [], []]


def test_values_may_hold_what_separates_others():
    column = pl.Series("x", ["['Sci-Fi, old', \"it's\"]", '["a b", "c"]', "Film Noir|Drama |"])
    assert as_lists(column, "|").to_list() == [["Sci-Fi, old", "it's"], ["a b", "c"], ["Film Noir", "Drama"]]


def test_vectors_are_no_categories():
    with pytest.raises(InputError, match=r"'x' holds vectors: 0.25 is no value of a category"):
        as_lists(pl.Series("x", [[1.0, 0.25], [2.0]]), " ")
