"""Config dataclasses by the types of their fields: plain values checked against them, and objects built from these."""

import dataclasses
import functools
import itertools
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from recsys_bert.errors import InputError, unknown_name

T = TypeVar("T")


def check_settings(kind: type, settings: Mapping[str, Any], source: str = "settings") -> dict[str, Any]:
    """Validate the settings that a recipe or a call names, nested ones as dicts.

    Args:
        kind: The config dataclass; every setting may be left out and no other one may come.
        settings: Values as TOML has them; paths, tuples and config objects are taken too.
        source: Begins every line of the error.

    Raises:
        InputError: An unknown name, or a value of another type.
    """
    import json

    import pydantic

    values = {name: plain(value, None) for name, value in settings.items()}
    try:
        # strict JSON is what a recipe needs: "3" is no number, but a list may be a tuple and text a path
        checked: dict[str, Any] = _adapter(kind).validate_json(json.dumps(values, default=str), strict=True)
    except pydantic.ValidationError as error:
        complaints = {_complaint(kind, values, dict(one)) for one in error.errors()}
        raise InputError("\n".join(f"{source}: {line}" for line in sorted(complaints))) from error
    return checked


@functools.cache
def _adapter(kind: type) -> Any:
    """Validator of recipes of one kind; making one takes longer than all that it checks."""
    import pydantic

    return pydantic.TypeAdapter(_partial(kind))


def _partial(kind: Any) -> Any:
    """Build the type of a recipe: like a dataclass, but every key may be left out and no other one may come."""
    import pydantic
    from typing_extensions import TypedDict

    if dataclasses.is_dataclass(kind):
        fields = {name: _partial(hint) for name, hint in hints(typing.cast("type", kind)).items()}
        if presets(kind):
            fields["size"] = str
        shape = TypedDict(getattr(kind, "__name__", "Recipe"), fields, total=False)  # type: ignore[misc]
        return pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(shape)
    if type(None) in typing.get_args(kind):
        options = typing.get_args(kind)
        of_tuple = any(typing.get_origin(option) is tuple for option in options)
        kind = typing.Union[tuple(_partial(option) for option in options)]  # noqa: UP007
        return typing.Annotated[kind, pydantic.BeforeValidator(lambda value: _of_toml(value, of_tuple))]
    return kind


def _of_toml(value: Any, of_tuple: bool) -> Any:
    """Value of an optional setting: "None" is none, and a list a tuple where the setting is one."""
    if value == "None":
        return None
    return tuple(value) if of_tuple and isinstance(value, list) else value


def _complaint(kind: Any, recipe: Any, error: dict[str, Any]) -> str:
    """Say one mistake of a recipe in the project's words."""
    path: list[str] = []
    known: Mapping[str, Any] = {}
    value = recipe
    for part in error["loc"]:  # pydantic also names union members and missing keys here; they are not in the recipe
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            known = known if isinstance(part, int) else hints(kind)
            kind = kind if isinstance(part, int) else known.get(part)
            value = value[part]
            path.append(str(part))
    name = ".".join(path)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return str(unknown_name("setting", name, [".".join([*path[:-1], key]) for key in known]))
    if error["type"] == "missing":
        return f"{name} lacks {error['loc'][-1]!r}."
    return f"{name} = {value!r}: {error['msg'].removeprefix('Value error, ')}."


def presets(kind: Any) -> Mapping[str, Mapping[str, Any]]:
    """Settings that go together, by size and dotted name: the class attribute ``SIZES`` of a config; empty without."""
    sizes: Mapping[str, Mapping[str, Any]] = getattr(kind, "SIZES", {})
    return sizes


@functools.cache  # annotations are evaluated for it
def hints(kind: Any) -> Mapping[str, Any]:
    """Types of the fields of a config dataclass, or of the one within an optional; empty for anything else."""
    for option in (kind, *typing.get_args(kind)):
        if dataclasses.is_dataclass(option):
            hints = typing.get_type_hints(option)
            return {field.name: hints[field.name] for field in dataclasses.fields(option) if field.init}
    return {}


def fill(kind: type[T], settings: dict[str, Any], base: T | None = None, missing: Any = dataclasses.MISSING) -> T:
    """Build ``kind`` from the settings of a recipe and, for the rest, from ``base`` or the defaults.

    Args:
        kind: A config dataclass.
        settings: What the recipe names; nested ones as dicts.
        base: Where the other values come from; the dataclass' own defaults where None.
        missing: Stands for a required value that nobody gave. Where it is given, the object is a draft for the
            flags to complete, and its checks do not run.

    Raises:
        InputError: A required value is missing and no ``missing`` was given.
    """
    values: dict[str, Any] = {}
    for field, hint in zip(dataclasses.fields(kind), hints(kind).values(), strict=True):  # type: ignore[arg-type]
        default = _default(field, base, missing)
        values[field.name] = value = settings.get(field.name, default)
        nested = next((option for option in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(option)), None)
        if nested and (isinstance(value, dict) or (value is missing and nested is hint)):
            settings_of_field = value if isinstance(value, dict) else {}
            values[field.name] = fill(typing.cast("type[Any]", nested), settings_of_field, default, missing)
    if missing is dataclasses.MISSING:
        lacking = [name for name, value in values.items() if value is missing]
        if lacking:
            raise InputError(f"{', '.join(lacking)} must be set; {kind.__name__} has no default for it.")
        return kind(**values)
    draft = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(draft, name, value)
    return draft


def _default(field: "dataclasses.Field[Any]", base: Any, missing: Any) -> Any:
    if dataclasses.is_dataclass(base):
        return getattr(base, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return missing if field.default is dataclasses.MISSING else field.default


def plain(value: Any, default: Any) -> Any:
    """Turn settings into what TOML can say; ``default`` is what a reader would take for a key left out."""
    if dataclasses.is_dataclass(value):
        defaults = {field.name: _default(field, default, None) for field in dataclasses.fields(value)}
        pairs = ((name, getattr(value, name)) for name in defaults)
        return {name: plain(item, defaults[name]) for name, item in pairs if not item is defaults[name] is None}
    if value is None:
        return "None"  # spelt as on the command line; TOML has no null
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(item, None) for key, item in value.items()}
    return [plain(item, None) for item in value] if isinstance(value, list | tuple) else value


@functools.cache  # sources are read and parsed for it
def field_docs(kind: type) -> Mapping[str, str]:
    """Docstring under every field of a config dataclass, its bases' included, on one line each."""
    import ast
    import inspect
    import textwrap

    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]).body
        for field, text in itertools.pairwise(body):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                docs[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]
    return docs
