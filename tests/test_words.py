"""The field's words: names that carry no type or are coined here, and how docstrings begin."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["recsys_bert", "nlp_tasks", "pipelines", "tests"]
# participles say nothing of what they hold; the others have a standard term
NO_NAMES = frozenset(
    (
        *("found", "told", "shown", "asked", "given", "made", "kept", "said", "wanted", "chosen", "taken", "drawn"),
        *("places", "moment", "moments", "newest", "chances", "aside", "recogniser", "figures", "both_ways", "ahead"),
    )
)
READ = (ast.Name, ast.arg, ast.alias, ast.FunctionDef, ast.ClassDef, ast.Module)
NO_OPENINGS = ("What ", "How ", "Whether ", "Everything ", "Who ", "Where ")


def bound_names(nodes):
    """Names that code binds: variables, arguments, loop targets, imports under another name."""
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno
        elif isinstance(node, ast.FunctionDef):
            yield node.name, node.lineno


def docstrings(nodes):
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield text, node


@functools.cache
def sources(package):
    files = sorted((ROOT / package).rglob("*.py"))
    trees = ((path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))) for path in files)
    return [(path, [node for node in ast.walk(tree) if isinstance(node, READ)]) for path, tree in trees]


def test_a_name_without_a_type_is_noticed():
    tree = ast.parse("def f(told):\n    for kept in told:\n        rows = kept")
    assert [name for name, _ in bound_names(ast.walk(tree)) if name in NO_NAMES] == ["told", "kept"]


@pytest.mark.parametrize("package", PACKAGES)
def test_names_say_what_they_hold(package):
    bad = [
        f"{path}:{line} {name}"
        for path, nodes in sources(package)
        for name, line in bound_names(nodes)
        if name in NO_NAMES
    ]
    assert not bad, f"{len(bad)}: {bad[:20]}"


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_begin_with_the_term_or_an_imperative(package):
    bad = [
        f"{path}:{getattr(node, 'lineno', 1)} {text.splitlines()[0]}"
        for path, nodes in sources(package)
        for text, node in docstrings(nodes)
        if text.startswith(NO_OPENINGS)
    ]
    assert not bad, f"{len(bad)}: {bad[:20]}"
