"""Settings as config dataclasses: defaults < recipe (TOML) < keyword arguments; resolved ones are written out."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.files import replacing
from recsys_bert.parsing import parse_toml
from recsys_bert.settings_types import check_settings, fill, hints, plain, presets
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
        text = tomli_w.dumps(plain(config, None))
        first = f"{_RESOLVED} of {_command(config)}, recsys-bert {__version__}"
        digest = _digest(f"{first}\n{text}")
        temporary.write_text(f"{first}, sha256 {digest}\n{text}", encoding="utf-8")


def _command(config: Any) -> str:
    """Command whose settings these are, as in ``text classify train``."""
    module = type(config).__module__.removeprefix("pipelines.").removeprefix("recsys_bert.stages.")
    module = module.removesuffix("_config")  # settings of a stage may have a file of their own
    return module.replace(".", " ").replace("_", "-")


def named_in(path: Path, recipe: Mapping[str, Any]) -> frozenset[str]:
    """Settings that a recipe names by hand: none of those that ``write_config`` wrote, which names all."""
    return frozenset() if is_resolved(path) else named_settings(recipe)


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


def _put(recipe: dict[str, Any], name: str, value: Any) -> None:
    """Set ``name``, as in ``encoder.neck``."""
    *tables, last = name.split(".")
    table: Any = recipe
    for at, key in enumerate(tables, 1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InputError(f"{name} cannot be set: {'.'.join(tables[:at])} is {table!r}, which has no settings.")
    table[last] = value
