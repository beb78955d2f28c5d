"""Candidates in order: the pairs, the order, and the same probabilities as predict gives."""

import polars as pl
import pytest

from recsys_bert.ctr.config import ColumnsConfig
from recsys_bert.ctr.ranking import best_of_each, candidate_pairs
from recsys_bert.errors import InputError

COLUMNS = ColumnsConfig(user="who", item="what")


def test_users_and_items_are_paired_in_order():
    pairs, counts = candidate_pairs([2, 1], ["a", "b"], COLUMNS)
    assert pairs.rows() == [(2, "a"), (2, "b"), (1, "a"), (1, "b")]
    assert (pairs.columns, counts) == (["who", "what"], {})


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.DataFrame.to_pandas, pl.DataFrame.to_dict])
def test_each_user_has_candidates_of_its_own(convert):
    users = convert(pl.DataFrame({"user_id": ["2", "1", "9"], "device": ["tv", "phone", "tv"]}))
    candidates = convert(pl.DataFrame({"user_id": [1, 2, 2, 5], "item_id": [7, 8, 9, 7], "rank": [1, 1, 2, 1]}))
    pairs, counts = candidate_pairs(users, candidates, COLUMNS)
    assert pairs.select("who", "what", "device", "rank").rows() == [
        ("2", 8, "tv", 1),
        ("2", 9, "tv", 2),
        ("1", 7, "phone", 1),
    ]
    assert counts == {"users without candidates": 1}
    alone, _ = candidate_pairs(None, candidates, COLUMNS)
    assert alone["who"].to_list() == [1, 2, 2, 5]


@pytest.mark.parametrize(
    ("users", "candidates", "columns", "message"),
    [
        ([1], [2], ColumnsConfig(user="who"), "reads no item"),
        ([1, 1], [2], COLUMNS, "users has 1 more than once"),
        ([1], [], COLUMNS, "no user has a candidate"),
        ([1], {"user_id": [3], "item_id": [4]}, COLUMNS, "no user has a candidate"),
        ({"id": [1]}, [2], COLUMNS, "users has no column 'who' or 'user_id'; it has 'id'"),
        ([1], {"thing": [1]}, COLUMNS, "candidates has no column 'what' or 'item_id'"),
        ([1], "item", COLUMNS, "candidates is a str"),
        (7, [1], COLUMNS, "users is a int"),
    ],
)
def test_candidates_that_cannot_be_paired_are_refused(users, candidates, columns, message):
    with pytest.raises(InputError, match=message):
        candidate_pairs(users, candidates, columns)


def test_the_best_come_first_and_ties_keep_their_order():
    scores = pl.DataFrame({"item": list("abcde"), "probability": [0.2, 0.5, 0.5, 0.9, 0.1]})
    ranked = best_of_each(scores, pl.Series("user", [3, 3, 3, 1, 1]), "probability", 2)
    assert ranked.rows() == [(3, 1, "b", 0.5), (3, 2, "c", 0.5), (1, 1, "d", 0.9), (1, 2, "e", 0.1)]
    assert best_of_each(scores, None, "probability", None)["item"].to_list() == list("dbcae")
