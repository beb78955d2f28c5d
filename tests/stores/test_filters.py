"""Filters: their text, their JSON form, their errors."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_bert.errors import InputError
from recsys_bert.stores.columns import checked_filter
from recsys_bert.stores.filter_json import from_json
from recsys_bert.stores.filter_text import MAX_DEPTH, parse_filter
from recsys_bert.stores.filters import And, Compare, In, Missing, Not, Or, leaves, to_json

COLUMNS = {"price": "float", "stock": "int", "brand": "str", "sold_out": "bool", "genres": "tags", "a b": "int"}
CHEAP, SOLD = Compare("price", "<", 20), Compare("sold_out", "==", True)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("price < 20", CHEAP),
        ("20 > price", CHEAP),
        ("sold_out", SOLD),
        ("NOT sold_out", Not(SOLD)),
        ('price<20 and brand in ("a", "b") and not sold_out', And((CHEAP, In("brand", ("a", "b")), Not(SOLD)))),
        ("price < 20 or sold_out and sold_out", Or((CHEAP, And((SOLD, SOLD))))),
        ("(price < 20 or sold_out) and sold_out", And((Or((CHEAP, SOLD)), SOLD))),
        ("5 < stock <= 7", And((Compare("stock", ">", 5), Compare("stock", "<=", 7)))),
        ("brand = 'it''s'".replace("''", "\\'"), Compare("brand", "==", "it's")),
        (r'brand == "\u65e5\n\"\\"', Compare("brand", "==", '日\n"\\')),
        ("`a b` == -3", Compare("a b", "==", -3)),
        ("price in [1, 2.5, .5e1]", In("price", (1, 2.5, 5.0))),
        ("brand not in ('a')", Not(In("brand", ("a",)))),
        ("'x' in genres", In("genres", ("x",))),
        ("price is missing", Missing("price")),
        ("price is not missing", Not(Missing("price"))),
        ("id == 'a'", Compare("id", "==", "a")),
    ],
)
def test_text_becomes_a_tree(text, tree):
    assert checked_filter(text, COLUMNS, "str") == tree
    assert checked_filter(to_json(tree), COLUMNS, "str") == tree


@pytest.mark.parametrize("value", ["-3.5", "-3", "0.5", "2", "2.0", "1e300", "-1e300"])
@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
def test_whole_numbers_are_compared_with_whole_numbers(op, value):
    tree = checked_filter(f"stock {op} {value}", COLUMNS, "str")
    for leaf in leaves(tree):
        assert isinstance(leaf, Missing) or isinstance(leaf.value, int)
    for stock in (None, -4, -3, 0, 1, 2, 3, 10**18):
        assert evaluate(tree, stock) is (stock is not None and eval(f"{stock} {op} {value}"))
    assert checked_filter("stock in (1.5, 2.0)", COLUMNS, "str") == In("stock", (2,))


def evaluate(tree, stock):
    """Truth of a filter of one column."""
    if isinstance(tree, And | Or):
        return (all if isinstance(tree, And) else any)(evaluate(part, stock) for part in tree.parts)
    if isinstance(tree, Not):
        return not evaluate(tree.part, stock)
    return stock is None if isinstance(tree, Missing) else stock is not None and eval(f"{stock} {tree.op} {tree.value}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: the end is there; a column, a value, not or '\\(' is needed"),
        ("price <", "character 8: the end is there; a column"),
        ("price < 20 and", "character 15: the end"),
        ("price < 20 brand", "character 12: 'brand' is there; and, or, or the end is needed"),
        ("price & 20", "character 7: '&' means nothing"),
        ("price < 20; DROP TABLE items", "character 11: ';' means nothing"),
        ('brand == "a', "character 10: a string does not end"),
        (r'brand == "\q"', r"character 11: \\q is no escape"),
        ("(price < 20", "character 12: the end is there; and, or, or '\\)'"),
        ("brand in ()", "character 11: '\\)' is there; a value"),
        ("brand in 'a'", "character 10: \"'a'\" is there; a list"),
        ("1 < 2", "character 3: '<' compares a column with a value"),
        ("price < stock", "character 7: '<' compares a column with a value"),
        ("20", "character 3: the end is there; a comparison"),
        ("price is 5", "character 10: '5' is there; missing"),
        ("price not 5", "character 11: '5' is there; in"),
        ("prise < 20", "character 1: no column is called 'prise'; did you mean 'price'"),
        ("price < 20 and brand < 'a'", "character 16: '<' orders numbers, and 'brand' is of type str"),
        ("price == 'a'", "character 1: 'a' is a str; 'price' is of type float"),
        ("not sold_out == 1", "character 5: '1' is a int; 'sold_out' is of type bool"),
        ("brand", "character 1: 'True' is a bool; 'brand' is of type str"),
        ("genres == 'a'", "list of tags; write"),
        ("stock == 99999999999999999999999", "fit into 64 bits"),
        ("price < 1e999", "finite"),
        ("12abc < price", "character 1: '1' means nothing"),
        ("(" * 60 + "price" + ")" * 60, "nested more than 50 deep"),
        ("not " * 60 + "sold_out", "nested more than 50 deep"),
        ("x" * 100_001, "100,001 characters"),
        ("1" * 99_999 + "x", "character 1: '1' means nothing"),  # at once: no number is tried with fewer digits
        ("sold_out or " * 900 + "sold_out", "901 comparisons; 900 at most"),
        ('brand == "\\u0000"', "U\\+0000"),
        ('brand == "\\ud800"', "half a character"),
    ],
)  # fmt: skip
def test_errors_say_where(text, message):
    with pytest.raises(InputError, match=message):
        checked_filter(text, {**COLUMNS, "stock": "int"}, "str")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "at the top: {} is there"),
        (5, "at the top: 5 is there"),
        ({"and": []}, "at and: \\[\\] is there"),
        ({"and": [{"<": ["price", 5]}, {"<": ["price"]}]}, "at and\\[1\\]\\.<: \\['price'\\] is there"),
        ({"and": [{"<": ["price", "x"]}]}, "at and\\[0\\]\\.<: 'x' is a str"),
        ({"like": ["brand", "x"]}, "no operator is called 'like'"),
        ({"in": ["brand", "x"]}, "at in: 'x' is there; a list"),
        ({"in": ["brand", [["x"]]]}, "at in: \\['x'\\] is there"),
        ({"not": {"missing": 5}}, "at not.missing: 5 is there; a column"),
        ({"==": [5, 5]}, "at ==: 5 is there; a column"),
        ({"<": ["price", float("nan")]}, "finite"),
        ({"in": ["brand", ["x"] * 10_001]}, "10,001 values are listed"),
    ],
)
def test_errors_of_the_json_form_say_where(value, message):
    with pytest.raises(InputError, match=message):
        checked_filter(value, COLUMNS, "str")


def test_json_cannot_be_nested_without_end():
    value = "sold_out"
    for _ in range(MAX_DEPTH + 2):
        value = {"not": value}
    with pytest.raises(InputError, match="nested more than 50 deep"):
        from_json(value)


@pytest.mark.parametrize("source", ["x" * 90_000, {"x" * 90_000: 1}, {"==": ["x" * 90_000, 1]}])
def test_errors_are_short_however_long_the_name(source):
    with pytest.raises(InputError) as refused:
        checked_filter(source, COLUMNS, "str")
    assert len(str(refused.value)) < 500


trees = st.recursive(
    st.sampled_from([CHEAP, SOLD, In("brand", ("a", 'b"\n\\')), Missing("stock"), Compare("a b", ">=", -1.5)]),
    lambda inner: st.one_of(
        inner.map(Not), *(st.lists(inner, min_size=2, max_size=3).map(tuple).map(kind) for kind in (And, Or))
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_the_json_form_holds_every_tree(tree):
    assert from_json(to_json(tree)).tree == tree


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet="price<20 and()'\"\\`in,brand.=!not", max_size=40) | st.text(max_size=20))
def test_any_text_parses_or_is_refused_with_a_position(text):
    message = "filter, character "
    try:
        parse_filter(text)
    except InputError as error:
        message = str(error)
    assert "filter, character " in message
