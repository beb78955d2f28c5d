"""Settings of the pipelines: defaults < recipe (TOML) < flags, and the resolved ones written beside every result."""

import contextlib
import dataclasses
import inspect
import io
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from recsys_bert import __version__
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.files import replacing

T = TypeVar("T")


def load_config(kind: type[T], argv: Sequence[str], prog: str = "recsys-bert") -> T:
    """Resolve the settings of one pipeline: defaults < recipe < flags.

    Args:
        kind: The pipeline's ``Config``, a dataclass with a docstring under every field.
        argv: ``[recipe.toml] [--flags]``.
        prog: How the command is called, for its help.

    Raises:
        InputError: The recipe is missing, is not TOML, or has an unknown key or a value of another type; or settings
            do not fit together.
        SystemExit: Help was asked for, or a flag is wrong (tyro has printed why).
    """
    import tyro

    argv = list(argv)
    recipe = _read_recipe(kind, Path(argv.pop(0))) if argv and argv[0].endswith(".toml") else {}
    about = [f"{inspect.getdoc(kind)}\n\nSettings can come from a recipe too: {prog} recipe.toml.", *_names(kind)]
    draft, complaints = _fill(kind, recipe, missing=tyro.MISSING), io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            return tyro.cli(
                kind,
                prog=prog,
                description="\n".join(about),
                args=argv,
                default=draft,
                config=(tyro.conf.AvoidSubcommands,),
                registry=_json_flags(),
            )
    except SystemExit as leave:
        cause = leave.__context__
        while cause is not None:
            if isinstance(cause, InputError):  # our own checks: the message alone, not in tyro's box
                raise cause from None
            cause = cause.__context__
        sys.stderr.write(complaints.getvalue())
        raise


def _names(kind: Any, prefix: str = "--") -> Iterator[str]:
    """List the names that a setting knows beside ``module:Class``: those in the table of its field's metadata."""
    for field, hint in zip(dataclasses.fields(kind), _hints(kind).values(), strict=True):
        flag = prefix + field.name.replace("_", "-")
        if "names" in field.metadata:
            yield f"{flag}: {', '.join(sorted(field.metadata['names']))}, or module:Class"
        if dataclasses.is_dataclass(hint):
            yield from _names(hint, f"{flag}.")


def read_config(kind: type[T], path: Path, changes: Mapping[str, Any] | None = None) -> T:
    """Read settings that ``write_config`` wrote, or any recipe that names every required setting.

    Args:
        kind: The pipeline's ``Config``.
        path: The recipe.
        changes: Values as TOML has them, by dotted name (``encoder.neck``), in place of the recipe's.

    Raises:
        InputError: As in ``load_config``, or a required setting is missing.
    """
    return _fill(kind, _read_recipe(kind, path, changes))


def write_config(config: Any, path: Path) -> None:
    """Write resolved settings as a recipe that ``read_config`` turns into an equal object."""
    import tomli_w

    with replacing(path) as aside:
        text = tomli_w.dumps(_plain(config, None))
        aside.write_text(f"# resolved settings, recsys-bert {__version__}\n{text}", encoding="utf-8")


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


def _read_recipe(kind: type, path: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read a TOML file, with ``changes``, as the settings of ``kind`` that it names, each of the right type."""
    import json
    import tomllib

    import pydantic

    try:
        recipe = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the recipe {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not a TOML file: {error}.") from error
    for name, value in (changes or {}).items():
        _put(recipe, name, value)
    try:
        adapter = pydantic.TypeAdapter(_partial(kind))
        # strict JSON is what a recipe needs: "3" is no number, but a list may be a tuple and text a path
        settings: dict[str, Any] = adapter.validate_json(json.dumps(recipe, default=str), strict=True)
    except pydantic.ValidationError as error:
        found = {_complaint(kind, recipe, dict(one)) for one in error.errors()}
        raise InputError("\n".join(f"{path}: {line}" for line in sorted(found))) from error
    return settings


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
        fields = {name: _partial(hint) for name, hint in _hints(kind).items()}
        shape = TypedDict(getattr(kind, "__name__", "Recipe"), fields, total=False)  # type: ignore[misc]
        return pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(shape)
    if type(None) in typing.get_args(kind):
        kind = typing.Union[tuple(_partial(option) for option in typing.get_args(kind))]  # noqa: UP007
        return typing.Annotated[kind, pydantic.BeforeValidator(lambda value: None if value == "None" else value)]
    return kind


def _complaint(kind: Any, recipe: Any, error: dict[str, Any]) -> str:
    """Say one mistake of a recipe in the project's words."""
    path: list[str] = []
    known: dict[str, Any] = {}
    value = recipe
    for part in error["loc"]:  # pydantic also names union members and missing keys here; they are not in the recipe
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            known = known if isinstance(part, int) else _hints(kind)
            kind = kind if isinstance(part, int) else known.get(part)
            value = value[part]
            path.append(str(part))
    name = ".".join(path)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return str(unknown_name("setting", name, [".".join([*path[:-1], key]) for key in known]))
    if error["type"] == "missing":
        return f"{name} lacks {error['loc'][-1]!r}."
    return f"{name} = {value!r}: {error['msg'].removeprefix('Value error, ')}."


def _hints(kind: Any) -> dict[str, Any]:
    for option in (kind, *typing.get_args(kind)):
        if dataclasses.is_dataclass(option):
            hints = typing.get_type_hints(option)
            return {field.name: hints[field.name] for field in dataclasses.fields(option) if field.init}
    return {}


def _fill(kind: type[T], settings: dict[str, Any], base: T | None = None, missing: Any = dataclasses.MISSING) -> T:
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
    for field, hint in zip(dataclasses.fields(kind), _hints(kind).values(), strict=True):  # type: ignore[arg-type]
        default = _default(field, base, missing)
        values[field.name] = value = settings.get(field.name, default)
        nested = next((option for option in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(option)), None)
        if nested and (isinstance(value, dict) or (value is missing and nested is hint)):
            given = value if isinstance(value, dict) else {}
            values[field.name] = _fill(typing.cast("type[Any]", nested), given, default, missing)
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


def _json_flags() -> Any:
    """Let a setting that is a dict (a part's options) be given as JSON: ``--neck-options '{"width": 3}'``."""
    import json

    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def _(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[dict[str, Any]] | None:
        if info.type is not dict and info.type_origin is not dict:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="JSON",
            instance_from_str=lambda texts: _from_json(info.type, texts[0]),
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [json.dumps(value)],
        )

    return registry


def _from_json(kind: Any, text: str) -> Any:
    import pydantic

    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(f"{text!r} does not fit: {where}{first['msg']}.") from error
