"""Settings as config dataclasses: defaults < recipe (TOML) < keyword arguments; resolved ones are written out."""

import dataclasses
import hashlib
import itertools
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.files import replacing
from recsys_bert.parsing import parse_toml
from recsys_bert.version import __version__

T = TypeVar("T")
_RESOLVED = "# resolved settings"


def read_config(kind: type[T], path: Path, changes: Mapping[str, Any] | None = None, *, resolved: bool = False) -> T:
    """Read settings that ``write_config`` wrote, or any recipe that names every required setting.

    Args:
        kind: The pipeline's ``Config``.
        path: The recipe.
        changes: Values as TOML has them, by dotted name (``encoder.neck``), in place of the recipe's.
        resolved: See ``read_toml``.

    Raises:
        InputError: As in ``load_config``, or a required setting is missing.
    """
    recipe = read_recipe(kind, path, changes, resolved=resolved)
    return check_named(fill(kind, with_preset(kind, recipe)), named_in(path, recipe) | frozenset(changes or ()))


def write_config(config: Any, path: Path) -> None:
    """Write resolved settings as a recipe that ``read_config`` turns into an equal object."""
    import tomli_w

    with replacing(path) as temporary:
        text = tomli_w.dumps(_plain(config, None))
        first = f"{_RESOLVED} of {_command(config)}, recsys-bert {__version__}"
        digest = _digest(f"{first}\n{text}")
        temporary.write_text(f"{first}, sha256 {digest}\n{text}", encoding="utf-8")


def _command(config: Any) -> str:
    """Command whose settings these are, as in ``text classify train``."""
    module = type(config).__module__.removeprefix("pipelines.").removeprefix("recsys_bert.stages.")
    return module.replace(".", " ").replace("_", "-")


def named_in(path: Path, recipe: Mapping[str, Any]) -> frozenset[str]:
    """Settings that a recipe names by hand: none of those that ``write_config`` wrote, which names all."""
    return frozenset() if is_resolved(path) else named_settings(recipe)


def _plain(value: Any, default: Any) -> Any:
    """Turn settings into what TOML can say; ``default`` is what a reader would take for a key left out."""
    if dataclasses.is_dataclass(value):
        defaults = {field.name: _default(field, default, None) for field in dataclasses.fields(value)}
        pairs = ((name, getattr(value, name)) for name in defaults)
        return {name: _plain(item, defaults[name]) for name, item in pairs if not item is defaults[name] is None}
    if value is None:
        return "None"  # spelt as on the command line; TOML has no null
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item, None) for key, item in value.items()}
    return [_plain(item, None) for item in value] if isinstance(value, list | tuple) else value


def read_toml(path: Path, *, resolved: bool = False) -> dict[str, Any]:
    """Read a TOML file; one that ``write_config`` wrote must be unchanged.

    Args:
        path: The file.
        resolved: Refuse any other, as in a run folder.

    Raises:
        InputError: It cannot be read, or was changed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        recipe = parse_toml(text)
    except OSError as error:
        raise InputError(f"the recipe {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not a TOML file: {error}.") from error
    first, _, rest = text.partition("\n")
    first, _, digest = first.rpartition(", sha256 ")
    if (resolved or text.startswith(_RESOLVED)) and digest != _digest(f"{first}\n{rest}"):
        raise InputError(
            f"{path} is damaged or was changed: its settings do not fit the checksum in its first line. Restore it; or,"
            " if you changed it for a run of your own, delete that line."
        )
    return recipe


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_recipe(
    kind: type, path: Path, changes: Mapping[str, Any] | None = None, *, resolved: bool = False
) -> dict[str, Any]:
    """Read a TOML file, with ``changes``, as the settings of ``kind`` that it names, each of the right type."""
    recipe = read_toml(path, resolved=resolved)
    for name, value in (changes or {}).items():
        _put(recipe, name, value)
    return check_settings(kind, recipe, str(path))


def outside_parts(kind: Any, settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Outside parts (``module:Class``) that settings name, by the setting's dotted name.

    Args:
        kind: The config dataclass; a field that names parts has their table in its metadata, as ``names``.
        settings: Those of a recipe; nested ones as dicts.
        prefix: Begins every name.
    """
    parts: dict[str, str] = {}
    tables = {field.name: field.metadata.get("names") for field in dataclasses.fields(kind)}
    for name, hint in hints(kind).items():
        value, table = settings.get(name), tables[name]
        if isinstance(value, dict) and hints(hint):
            parts |= outside_parts(hint, value, f"{prefix}{name}.")
        elif table is not None:
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, str) and part not in table and ":" in part:
                    parts[prefix + name] = part
    return parts


def is_resolved(path: Path) -> bool:
    """True if ``write_config`` wrote a recipe: the settings of a run, whose writer need not be who reads it."""
    return Path(path).read_text(encoding="utf-8").startswith(_RESOLVED)


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

    plain = {name: _plain(value, None) for name, value in settings.items()}
    try:
        adapter = pydantic.TypeAdapter(_partial(kind))
        # strict JSON is what a recipe needs: "3" is no number, but a list may be a tuple and text a path
        checked: dict[str, Any] = adapter.validate_json(json.dumps(plain, default=str), strict=True)
    except pydantic.ValidationError as error:
        complaints = {_complaint(kind, plain, dict(one)) for one in error.errors()}
        raise InputError("\n".join(f"{source}: {line}" for line in sorted(complaints))) from error
    return checked


def make_config(kind: type[T], config: T | None, settings: Mapping[str, Any]) -> T:
    """Settle what a call was given: a config object, keyword arguments as in a recipe, or neither (the defaults).

    Args:
        kind: The config dataclass.
        config: Given whole; None takes ``settings``.
        settings: Keyword arguments; nested ones as dicts or config objects.

    Raises:
        InputError: Both came, an unknown name, a value of another type, or settings that do not fit together.
    """
    if config is None:
        checked = check_settings(kind, settings)
        return check_named(fill(kind, with_preset(kind, checked)), named_settings(checked))
    if settings:
        raise InputError(
            f"settings came twice: as config and as {', '.join(sorted(settings))}. Give one config object, or keywords."
        )
    if not isinstance(config, kind):
        raise InputError(f"config is a {type(config).__name__}; a {kind.__name__} is needed.")
    return config


def presets(kind: Any) -> Mapping[str, Mapping[str, Any]]:
    """Settings that go together, by size and dotted name: the class attribute ``SIZES`` of a config; empty without."""
    sizes: Mapping[str, Mapping[str, Any]] = getattr(kind, "SIZES", {})
    return sizes


def with_preset(kind: Any, settings: Mapping[str, Any], size: str | None = None) -> dict[str, Any]:
    """Put the preset of ``size`` under the settings, which win over it.

    Args:
        kind: The config dataclass.
        settings: Checked ones; their own ``size`` is taken where ``size`` is None.
        size: One of ``presets(kind)``.

    Raises:
        InputError: There is no such size.
    """
    rest = {name: value for name, value in settings.items() if name != "size"}
    size = size or settings.get("size")
    if size is None:
        return rest
    if size not in (known := presets(kind)):
        raise unknown_name("size", size, known)
    merged: dict[str, Any] = {}
    for name, value in known[size].items():
        _put(merged, name, value)
    return _merged(merged, rest)


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: value for name, value in above.items() if isinstance(value, dict) and name in below}
    return {**below, **above, **{name: _merged(below[name], value) for name, value in both.items()}}


def named_settings(settings: Mapping[str, Any], prefix: str = "") -> frozenset[str]:
    """Dotted names of the settings that somebody gave, defaults given by hand included."""
    names: set[str] = set()
    for name, value in settings.items():
        nested = isinstance(value, dict) and not name.endswith("options")
        names |= named_settings(value, f"{prefix}{name}.") if nested else {prefix + name}
    return frozenset(names)


def check_named(config: T, names: frozenset[str]) -> T:
    """Let a config, and those nested in it, refuse settings that they would ignore: by a method ``check_named``.

    Values alone cannot say it: a default given by hand looks like one that nobody gave.

    Args:
        config: The config; its method gets ``names``, a nested one's gets those of its own settings.
        names: Dotted names of the settings that were named.

    Raises:
        InputError: A named setting has no effect.
    """
    if (check := getattr(config, "check_named", None)) is not None:
        check(names)
    for setting in dataclasses.fields(config):  # type: ignore[arg-type]
        prefix, nested = f"{setting.name}.", getattr(config, setting.name)
        if dataclasses.is_dataclass(nested):
            check_named(nested, frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix)))
    return config


def field_docs(kind: type) -> dict[str, str]:
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


def _put(recipe: dict[str, Any], name: str, value: Any) -> None:
    """Set ``name``, as in ``encoder.neck``."""
    *tables, last = name.split(".")
    table: Any = recipe
    for at, key in enumerate(tables, 1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InputError(f"{name} cannot be set: {'.'.join(tables[:at])} is {table!r}, which has no settings.")
    table[last] = value


def _partial(kind: Any) -> Any:
    """Build the type of a recipe: like a dataclass, but every key may be left out and no other one may come."""
    import pydantic
    from typing_extensions import TypedDict

    if dataclasses.is_dataclass(kind):
        fields = {name: _partial(hint) for name, hint in hints(kind).items()}
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
    known: dict[str, Any] = {}
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


def hints(kind: Any) -> dict[str, Any]:
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
