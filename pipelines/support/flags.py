"""Settings from the command line: defaults < recipe (TOML) < flags."""

import contextlib
import dataclasses
import inspect
import io
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipelines.support.short_help import describe_size, short_help
from recsys_bert.encoder.parts import check_allowed
from recsys_bert.errors import InputError
from recsys_bert.settings import check_named, is_resolved, named_in, outside_parts, read_recipe, with_preset
from recsys_bert.settings_types import fill, hints, presets

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
    _check_utf8(argv)
    path = Path(argv.pop(0)) if argv and argv[0].endswith(".toml") else None
    argv = _with_positional(kind, argv)
    recipe = {} if path is None else read_recipe(kind, path)
    named = frozenset() if path is None else named_in(path, recipe)
    size, argv = _take_size(kind, argv)
    settings = with_preset(kind, recipe, size)
    if {"-h", "--help"} & set(argv):
        print(short_help(kind, prog))
        raise SystemExit(0)
    if path is not None:
        check_parts(kind, path, recipe, _named_flags(argv))
    argv = ["--help" if word == "--help-all" else word for word in argv]
    about = [f"{inspect.getdoc(kind)}\n\nSettings can come from a recipe too: {prog} recipe.toml.", *_names(kind)]
    draft, complaints = fill(kind, settings, missing=tyro.MISSING), io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            config = tyro.cli(
                kind,
                prog=prog,
                description="\n".join(about),
                args=argv,
                default=draft,
                config=(tyro.conf.AvoidSubcommands,),
                registry=_json_flags(),
            )
        if (size := size or recipe.get("size")) is not None:
            print(f"size {size}: {describe_size(kind, size)}", file=sys.stderr)
        return check_named(config, named | _named_flags(argv))
    except SystemExit as leave:
        cause = leave.__context__
        while cause is not None:
            if isinstance(cause, InputError):  # our own checks: the message alone, not in tyro's box
                raise cause from None
            cause = cause.__context__
        sys.stderr.write(complaints.getvalue())
        raise


def _with_positional(kind: type, argv: list[str]) -> list[str]:
    """Words before the first flag as values of the setting that ``POSITIONAL`` of the config names, if it names one."""
    name: str | None = getattr(kind, "POSITIONAL", None)
    if name is None or not argv or argv[0].startswith("-"):
        return argv
    return [f"--{name}", *argv]


def check_parts(kind: type, path: Path, recipe: Mapping[str, Any], named: Collection[str] = ()) -> None:
    """Refuse outside parts of a run's ``config.toml`` as a recipe: its writer named them, not the user.

    Args:
        kind: The pipeline's ``Config``.
        path: The recipe; one that was written by hand is the user's.
        recipe: Its settings.
        named: Settings that the flags name, in place of the recipe's.

    Raises:
        InputError: It names a part from outside that is not allowed.
    """
    if is_resolved(path):
        for name, part in outside_parts(kind, recipe).items():
            if name not in named:
                check_allowed(name, part, path)


def _check_utf8(argv: Sequence[str]) -> None:
    """Refuse arguments with bytes that are no UTF-8, which Python passes on as halves of characters.

    Raises:
        InputError: There is one.
    """
    for number, word in enumerate(argv, 1):
        try:
            word.encode("utf-8")
        except UnicodeEncodeError as error:
            byte = ord(word[error.start]) & 0xFF
            raise InputError(
                f"argument {number}, {word!a}, is not UTF-8: byte 0x{byte:02x} after {error.start} characters. Write "
                "it in UTF-8, give the text in a file with its encoding, or rename the file."
            ) from error


def _take_size(kind: type, argv: list[str]) -> tuple[str | None, list[str]]:
    """Take ``--size NAME`` out of the flags of a command that has presets."""
    if not presets(kind):
        return None, argv
    for index, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == "--size":
            if not equals and index + 1 == len(argv):
                raise InputError(f"--size needs a value: {', '.join(presets(kind))}.")
            stop = index + (1 if equals else 2)
            return value if equals else argv[index + 1], argv[:index] + argv[stop:]
    return None, argv


def _named_flags(argv: Sequence[str]) -> frozenset[str]:
    """Settings that the flags name, as in a recipe: ``--encoder.max-len=8`` is ``encoder.max_len``."""
    names = (word[2:].partition("=")[0].replace("-", "_") for word in argv if word.startswith("--"))
    return frozenset(re.sub(r"(^|\.)no_", r"\1", name) if "no_" in name else name for name in names)


def _names(kind: Any, prefix: str = "--") -> Iterator[str]:
    """List the names that a setting knows beside ``module:Class``: those in the table of its field's metadata."""
    for field, hint in zip(dataclasses.fields(kind), hints(kind).values(), strict=True):
        flag = prefix + field.name.replace("_", "-")
        if "names" in field.metadata:
            yield f"{flag}: {', '.join(sorted(field.metadata['names']))}, or module:Class"
        if dataclasses.is_dataclass(hint):
            yield from _names(hint, f"{flag}.")


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
