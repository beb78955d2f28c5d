"""The short help of a command: the settings that matter, in groups."""

import dataclasses
import inspect
import itertools
import shutil
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from recsys_bert.settings_types import field_docs, hints, presets

MOST = 25
"""Settings that a short help shows at most."""


@dataclass(frozen=True)
class Setting:
    """One setting of a command."""

    name: str
    """Dotted, as in a recipe."""

    hint: Any
    """Its type."""

    default: Any
    """``dataclasses.MISSING`` where it must be given."""

    text: str
    """What it does, on one line."""

    names: tuple[str, ...]
    """Parts that it knows by name, where it names a part."""

    @property
    def flag(self) -> str:
        """As on the command line."""
        return "--" + self.name.replace("_", "-")


def all_settings(kind: type, prefix: str = "", defaults: Any = None) -> Iterator[Setting]:
    """List every setting of a config dataclass, nested ones under their dotted names."""
    docs, types_ = field_docs(kind), hints(kind)
    for field in dataclasses.fields(kind):
        hint = types_[field.name]
        default = getattr(defaults, field.name) if defaults is not None else _default(field)
        if dataclasses.is_dataclass(hint):
            yield from all_settings(typing.cast(type, hint), f"{prefix}{field.name}.", default)
        else:
            names = tuple(sorted(field.metadata.get("names", ())))
            yield Setting(prefix + field.name, hint, default, docs.get(field.name, ""), names)


def shown_settings(kind: type) -> list[Setting]:
    """Settings of the short help: those that ``MAIN`` of the config names, in its order; all where it names none."""
    settings = {setting.name: setting for setting in all_settings(kind)}
    main: tuple[str, ...] = getattr(kind, "MAIN", ())
    return [settings[name] for name in main] if main else list(settings.values())


def short_help(kind: type, prog: str) -> str:
    """Text of ``--help``."""
    width = min(100, max(60, shutil.get_terminal_size().columns))
    settings = _by_group(shown_settings(kind))
    n_all = sum(1 for _ in all_settings(kind))
    several: str | None = getattr(kind, "POSITIONAL", None)
    first = "[recipe.toml]" if several is None else f"[recipe.toml | {several.upper()} ...]"
    lines = [f"usage: {prog} {first} [--flags]", "", *textwrap.wrap(_about(kind), width)]
    for group, members in itertools.groupby(settings, key=_group):
        lines += ["", f"{group}:", *itertools.chain.from_iterable(_entry(setting, width) for setting in members)]
    if sizes := presets(kind):
        lines += ["", "sizes (--size NAME, below recipe and flags):"]
        lines += [f"  {size:<6} {describe_size(kind, size)}" for size in sizes]
    more = f"{len(settings)} of {n_all} settings; --help-all lists every one." if len(settings) < n_all else ""
    more += " --allow-parts: saved runs may name parts from outside (module:Class), whose code then runs."
    lines += [
        "",
        *textwrap.wrap(f"{more} A recipe is a TOML file of the same names; flags win over it.".strip(), width),
    ]
    return "\n".join(lines)


def describe_size(kind: Any, size: str) -> str:
    """Settings that a preset makes, on one line."""
    return ", ".join(f"{name} {value}" for name, value in presets(kind)[size].items())


def _about(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _group(setting: Setting) -> str:
    if setting.default is dataclasses.MISSING:
        return "required"
    return setting.name.partition(".")[0] if "." in setting.name else "settings"


def _by_group(settings: list[Setting]) -> list[Setting]:
    """Sort settings by group: required ones, then single ones, then tables in the order of their first setting."""
    groups = list(dict.fromkeys(["required", "settings", *map(_group, settings)]))
    return sorted(settings, key=lambda setting: groups.index(_group(setting)))


def _entry(setting: Setting, width: int) -> list[str]:
    default = "" if setting.default is dataclasses.MISSING else f" (default: {_value(setting.default)})"
    if setting.hint is bool:
        *tables, last = setting.flag[2:].split(".")
        head = f"  {setting.flag}, --{'.'.join([*tables, f'no-{last}'])}"
    else:
        head = f"  {setting.flag} {_metavar(setting)}"
    return [head, *textwrap.wrap(setting.text + default, width, initial_indent=" " * 8, subsequent_indent=" " * 8)]


def _metavar(setting: Setting) -> str:
    if not setting.names:
        return _type(setting.hint)
    names = "{" + ",".join(setting.names) + ",module:Class}"
    return f"[{names} ...]" if typing.get_origin(setting.hint) is tuple else names


def _type(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "{" + ",".join(map(str, args)) + "}"
    if origin in (typing.Union, types.UnionType):
        return "|".join(_type(option) for option in args if option is not type(None))
    if origin in (tuple, list):
        return f"[{_type(args[0])} ...]"
    if origin is dict or hint is dict:
        return "JSON"
    if hint is Path:
        return "PATH"
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return "{" + ",".join(str(option.value) for option in hint) + "}"
    return str(getattr(hint, "__name__", hint)).upper()


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(str, value)) or "none"
    if value is None or value == {}:
        return "none"
    return str(value)


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
