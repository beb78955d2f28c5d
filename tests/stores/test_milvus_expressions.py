"""Filters for Milvus: no value of a user can be part of an expression."""

import re

import pytest
from contracts.store_cases import COLUMNS, HARD_IDS

from recsys_bert.stores.columns import checked_filter
from recsys_bert.stores.milvus_expressions import expression_of


@pytest.mark.parametrize("value", [*HARD_IDS, '" or true or c2 == "', "a\\", "%22 or true"])
def test_strings_cannot_end_a_literal(value):
    tree = {"or": [{"==": ["brand", value]}, {"in": ["genres", [value]]}, {"in": ["id", [value]]}]}
    expression = expression_of(checked_filter(tree, COLUMNS, "str"), COLUMNS)
    bare = re.sub(r'"[\w\-.~%]*"', "S", expression, flags=re.A)
    assert bare == "((h2 == true and c2 == S) or (array_contains_any(c4, [S])) or (key in [S]))"


def test_filters_become_expressions():
    source = "not (price < 20.5 or sold_out) and stock in (1, 2) and price is missing and sold_out in (true, false)"
    assert expression_of(checked_filter(source, COLUMNS, "str"), COLUMNS) == (
        "((not ((h0 == true and c0 < 20.5) or (h3 == true and c3 == true))) and (h1 == true and c1 in [1, 2]) and "
        "(h0 == false) and (h3 == true and (c3 == true or c3 == false)))"
    )
