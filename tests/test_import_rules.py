"""The rules of who may import what, the layout, and what a command may import before it runs."""

import ast
import dataclasses
import functools
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
import typing
from pathlib import Path

import pytest

from pipelines.cli import COMMANDS
from pipelines.support.short_help import MOST, shown_settings

ROOT = Path(__file__).parents[1]
OURS = ("recsys_bert", "nlp_tasks", "pipelines")
GROUND = {
    "recsys_bert",
    "recsys_bert.errors",
    "recsys_bert.files",
    "recsys_bert.checksums",
    "recsys_bert.full_disk",
    "recsys_bert.locks",
    "recsys_bert.onnx_files",
    "recsys_bert.parsing",
    "recsys_bert.progress",
    "recsys_bert.devices",
    "recsys_bert.settings",
    "recsys_bert.settings_types",
    "recsys_bert.terminal",
    "recsys_bert.bucketing",
    "recsys_bert.version",
}
BELOW_USERS = {
    f"recsys_bert.{area}"
    for area in ("encoder", "decoding", "losses", "objectives", "training", "static_embeddings", "post_processing")
}
BELOW_RANKERS = BELOW_USERS | {"recsys_bert.clicks", "recsys_bert.user_encoder", "recsys_bert.item_texts"}
AREAS = {  # area → which other areas of ours it may import; GROUND is open to everyone
    "recsys_bert.encoder": set(),
    "recsys_bert.losses": set(),
    "recsys_bert.decoding": {"recsys_bert.encoder"},
    "recsys_bert.training": {"recsys_bert.encoder"},
    "recsys_bert.objectives": {"recsys_bert.encoder", "recsys_bert.losses"},
    "recsys_bert.static_embeddings": {"recsys_bert.training", "recsys_bert.encoder"},
    "recsys_bert.positive_unlabelled": {"recsys_bert.losses"},
    "recsys_bert.post_processing": {"recsys_bert.encoder"},
    "recsys_bert.clicks": set(),
    "recsys_bert.item_texts": {"recsys_bert.clicks", "recsys_bert.encoder", "recsys_bert.static_embeddings"},
    "recsys_bert.user_encoder": BELOW_USERS | {"recsys_bert.clicks", "recsys_bert.item_texts"},
    "recsys_bert.retrieval": BELOW_RANKERS | {"recsys_bert.evaluation"},
    "recsys_bert.ctr": BELOW_RANKERS | {"recsys_bert.evaluation"},
    "recsys_bert.serving": {"recsys_bert.clicks", "recsys_bert.retrieval"},
    "recsys_bert.stages": {"recsys_bert"},
    "recsys_bert.stores": set(),
    "recsys_bert.pages": set(),
    "recsys_bert.evaluation": set(),
    "nlp_tasks": BELOW_USERS | {"recsys_bert.positive_unlabelled", "recsys_bert.evaluation", "recsys_bert.pages"},
    "pipelines": {"nlp_tasks", "recsys_bert"},
    **{module: set() for module in GROUND},
    "recsys_bert": {"recsys_bert"},
}
PACKAGES = {  # area → the only packages from outside that it may import
    "recsys_bert.encoder": {"torch", "safetensors", "pydantic"},
    "recsys_bert.evaluation": {"numpy", "polars", "sklearn"},
    "recsys_bert.evaluation.report": {"numpy", "polars", "sklearn", "matplotlib"},
}
HEAVY = {
    "accelerate",
    "faiss",
    "matplotlib",
    "optuna",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "sklearn",
    "torch",
    "transformers",
}
TOP_LEVEL = {"LICENSE", "Makefile", "README.md", "constraints.txt", "data", "pyproject.toml", "tests", *OURS}


def imports_of(source, module, is_package=False):
    """Dotted names that a module imports, anywhere in it, or names in a table of parts as ``"module:Class"``."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: len(module.split(".")) + is_package - node.level] if node.level else []
            origin = ".".join([*package, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(re.findall(rf"^((?:{'|'.join(OURS)})[\w.]*):\w+$", node.value))
    return names


@functools.cache
def our_modules():
    return list(_our_modules())


def _our_modules():
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            yield module, imports_of(path.read_text(encoding="utf-8"), module, is_package)


def within(name, area):
    return name == area or name.startswith(area + ".")


def area_of(module, areas):
    return max((area for area in areas if within(module, area)), key=len, default=None)


def may_import(module, name):
    if any(name in (ground, f"{ground}.{name.rpartition('.')[2]}") for ground in GROUND - {"recsys_bert"}):
        return True
    if name in ("recsys_bert", "recsys_bert.__version__"):
        return True
    allowed = {area_of(module, AREAS), *AREAS[area_of(module, AREAS)]}
    return any(within(name, area) for area in allowed)


def test_imports_are_found_wherever_they_are():
    source = """
    import torch.nn as nn, os
    from . import config
    from ..encoder.model import Encoder
    def late():
        from recsys_bert import clicks
    TABLE = {"bert": "recsys_bert.encoder.layers.bert:BertLayer"}
    """
    names = imports_of(textwrap.dedent(source), "recsys_bert.training.loop")
    assert names == {
        "torch.nn",
        "os",
        "recsys_bert.training.config",
        "recsys_bert.encoder.model.Encoder",
        "recsys_bert.clicks",
        "recsys_bert.encoder.layers.bert",
    }
    assert imports_of("from .a import b", "recsys_bert.encoder", is_package=True) == {"recsys_bert.encoder.a.b"}


@pytest.mark.parametrize(
    ("module", "name", "allowed"),
    [
        ("recsys_bert.training.loop", "recsys_bert.encoder.model.Encoder", True),
        ("recsys_bert.training.loop", "recsys_bert.errors.InputError", True),
        ("recsys_bert.errors", "recsys_bert.files.replacing", True),
        ("recsys_bert.errors", "recsys_bert.encoder.model", False),
        ("recsys_bert.encoder.model", "recsys_bert.training.loop", False),
        ("recsys_bert.ctr.model", "recsys_bert.retrieval.index", False),
        ("recsys_bert.clicks.prepare.log", "pipelines.cli.main", False),
        ("nlp_tasks.data", "recsys_bert.clicks.prepare.log", False),
        ("pipelines.prepare", "recsys_bert.clicks.prepare.log", True),
    ],
)
def test_the_rules_say_yes_and_no(module, name, allowed):
    assert may_import(module, name) is allowed


def test_areas_import_only_what_they_may():
    broken = [
        f"{module} imports {name}"
        for module, names in our_modules()
        for name in sorted(names)
        if name.split(".")[0] in OURS and not may_import(module, name)
    ]
    assert not broken


def circles(graph):
    """Groups of modules that import one another, the strongly connected components of more than one (Tarjan)."""
    order, low, stack, components = {}, {}, [], []

    def visit(module):
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            members = [stack.pop()]
            while members[-1] != module:
                members.append(stack.pop())
            if len(members) > 1:
                components.append(sorted(members))

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return components


def import_graph():
    modules = dict(our_modules())
    owner = {name: name for name in modules}
    return {
        module: {
            target
            for name in names
            if (target := owner.get(name) or owner.get(name.rpartition(".")[0])) and target != module
        }
        for module, names in modules.items()
    }


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_module_imports_itself_over_others():
    assert circles(import_graph()) == []


def test_areas_use_only_the_packages_they_may():
    known = {*sys.stdlib_module_names, *OURS}
    broken = [
        f"{module} imports {name}"
        for module, names in our_modules()
        if (area := area_of(module, PACKAGES))
        for name in sorted(names)
        if name.split(".")[0] not in PACKAGES[area] | known
    ]
    assert not broken


def test_click_logs_are_read_without_torch():
    torch_family = {"torch", "transformers", "accelerate", "faiss", "safetensors"}
    broken = [
        f"{module} imports {name}"
        for module, names in our_modules()
        if within(module, "recsys_bert.clicks")
        for name in names
        if name.split(".")[0] in torch_family
    ]
    assert not broken


def test_nothing_else_lies_at_the_top():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    entries = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {entry for entry in entries if not entry.startswith(".")} <= TOP_LEVEL


HELP = """
import sys
from pipelines.cli import main

for command in sys.argv[1:]:
    print("command", command)
    try:
        main([*command.split(), "--help"])
    except SystemExit:
        pass
    print("\\nmodules", *{name.split(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize("commands", [[""], list(COMMANDS)], ids=["all", "each"])
def test_help_imports_nothing_heavy(commands):
    """In one process for all commands: what one imports, the next ones have too."""
    done = subprocess.run([sys.executable, "-c", HELP, *commands], cwd=ROOT, capture_output=True, text=True, check=True)
    outputs = done.stdout.split("command ")[1:]
    outputs = [text for text in outputs if text.split("\n")[0] in commands]
    assert [text.split("\n")[0] for text in outputs] == commands
    for text in outputs:
        assert "usage: recsys-bert" in text
        imported = set(text.rpartition("\nmodules ")[2].split())
        assert not imported & HEAVY, text.split("\n")[0]
        assert commands != [""] or "tyro" not in imported


def config_classes(kind):
    """A config dataclass and every one nested in it, however deep."""
    yield kind
    for hint in typing.get_type_hints(kind).values():
        for nested in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(nested):
                yield from config_classes(nested)


def fields_without_docstring(kind):
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
    for field, after in zip(body, [*body[1:], None], strict=True):
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and after.value.value
        is_field = isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation)
        if is_field and not is_text:
            yield f"{kind.__qualname__}.{field.target.id}"


def test_a_field_without_a_docstring_is_found():
    class Example:
        first: int = 1
        """Said."""
        second: int = 2

    assert [name.rpartition(".")[2] for name in fields_without_docstring(Example)] == ["second"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_is_explained_and_frozen(command):
    module = importlib.import_module(COMMANDS[command][0])
    assert callable(module.run)
    for kind in config_classes(module.Config):
        assert list(fields_without_docstring(kind)) == []
        assert kind.__doc__, kind
        assert not kind.__doc__.startswith(f"{kind.__name__}("), f"{kind} has no docstring of its own"
        assert kind.__dataclass_params__.frozen, kind
        assert all(field.kw_only for field in dataclasses.fields(kind)), kind


@pytest.mark.parametrize("command", COMMANDS)
def test_the_short_help_fits(command):
    settings = shown_settings(importlib.import_module(COMMANDS[command][0]).Config)
    assert 1 <= len(settings) <= MOST
