"""Filters as expressions of Milvus, which has no parameters before 2.5.

Every string is percent-encoded, in the collection as in the expression: letters, digits and ``-_.~%`` end no literal.
"""

import json
from urllib.parse import quote

from recsys_bert.stores.columns import ID, Columns
from recsys_bert.stores.filters import And, Compare, Filter, In, Missing, Or, Value


def encoded_string(text: str) -> str:
    """A string as the collection holds it."""
    return quote(text, safe="")


def expression_of(tree: Filter | None, columns: Columns) -> str:
    """Compile a checked filter; column number n is ``cn``, and ``hn`` says whether it has a value."""
    if tree is None:
        return ""
    if isinstance(tree, And | Or):
        joint = " and " if isinstance(tree, And) else " or "
        return "(" + joint.join(expression_of(part, columns) for part in tree.parts) + ")"
    if isinstance(tree, Compare | In | Missing):
        return f"({_leaf(tree, columns)})"
    return f"(not {expression_of(tree.part, columns)})"


def _leaf(leaf: Compare | In | Missing, columns: Columns) -> str:
    if leaf.column == ID:
        if isinstance(leaf, Missing):
            return 'key == ""'  # no key is empty
        if isinstance(leaf, In):
            return f"key in {json.dumps([encoded_string(str(value)) for value in leaf.values])}"
        return f"key {leaf.op} {json.dumps(encoded_string(str(leaf.value)))}"
    n = list(columns).index(leaf.column)
    if isinstance(leaf, Missing):
        return f"h{n} == false"
    if isinstance(leaf, Compare):
        return f"h{n} == true and c{n} {leaf.op} {_constant(leaf.value)}"
    values = "[" + ", ".join(map(_constant, leaf.values)) + "]"
    if columns[leaf.column] == "tags":
        return f"array_contains_any(c{n}, {values})"
    if columns[leaf.column] == "bool":  # Milvus has no lists of them
        either = " or ".join(f"c{n} == {_constant(value)}" for value in dict.fromkeys(leaf.values))
        return f"h{n} == true and ({either})"
    return f"h{n} == true and c{n} in {values}"


def _constant(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(encoded_string(value)) if isinstance(value, str) else repr(value)
