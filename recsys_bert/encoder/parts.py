"""Parts by name: find a class in a table or behind ``module:Class``, and build it with checked options."""

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError, unknown_name

Options = dict[str, bool | int | float | str]
"""A part's own options as a recipe gives them."""

Table = Mapping[str, str | type]
"""Name → class, or ``"module:Class"`` so that nothing is imported before it is asked for."""


_FOLDERS: ContextVar[tuple[str, ...]] = ContextVar("folders of outside parts", default=())
_ARTEFACT: ContextVar[Path | None] = ContextVar("artefact that is being opened", default=None)
_ALLOWED: ContextVar[bool] = ContextVar("saved artefacts may name outside parts", default=False)
_LOOKED_UP: set[str] = set()  # outside parts of the user's own settings: their code has run in this process already


@contextlib.contextmanager
def parts_in(*folders: Path) -> Iterator[None]:
    """Look up outside parts (``module:Class``) in these folders as well, such as a recipe's own.

    A folder is importable only while such a part is: a ``triton/`` or ``pandas.py`` that lies beside the data must not
    stand in for the package.
    """
    token = _FOLDERS.set(tuple(str(folder) for folder in folders))
    try:
        yield
    finally:
        _FOLDERS.reset(token)


@contextlib.contextmanager
def allowing_parts(allow: bool = True) -> Iterator[None]:
    """Let saved artefacts name outside parts (``module:Class``), whose code runs; False leaves things as they are."""
    token = _ALLOWED.set(allow or _ALLOWED.get())
    try:
        yield
    finally:
        _ALLOWED.reset(token)


@contextlib.contextmanager
def saved_parts(artefact: Path) -> Iterator[None]:
    """Open an artefact: the parts that its settings name are its writer's, and are not imported unasked.

    Outside parts are then refused, unless they are allowed or the user's own settings named them before.
    """
    token = _ARTEFACT.set(artefact)
    try:
        yield
    finally:
        _ARTEFACT.reset(token)


def check_allowed(kind: str, name: str, artefact: Path) -> None:
    """Refuse an outside part that an artefact names.

    Args:
        kind: Kind of the part, as in ``"layer"``.
        name: ``module:Class``.
        artefact: File or folder that names it.

    Raises:
        InputError: It is neither allowed nor named by the user's own settings.
    """
    if not _ALLOWED.get() and name not in _LOOKED_UP:
        raise InputError(
            f"{artefact} names the {kind} {name!r}, a part from outside: opening it would run that module's code. If "
            "you trust who made it, add --allow-parts (in Python: allow_parts=True)."
        )


@contextlib.contextmanager
def _importable(folders: tuple[str, ...]) -> Iterator[None]:
    added = [folder for folder in folders if folder not in sys.path]
    sys.path.extend(added)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def check_name(kind: str, name: str, table: Table) -> None:
    """Raise ``InputError`` for a name neither in ``table`` nor of the form ``module:Class``; imports nothing."""
    if name not in table and ":" not in name:
        raise unknown_name(kind, name, table)


def find(kind: str, name: str, table: Table) -> type:
    """Find the class of a part.

    Args:
        kind: What is asked for, as in ``"layer"``; for messages.
        name: A name in ``table``, or ``"module:Class"`` for a part from outside.
        table: The known parts.

    Raises:
        InputError: No such name, module or class; or an artefact names an outside part, see ``saved_parts``.
    """
    check_name(kind, name, table)
    entry = table.get(name, name)
    if not isinstance(entry, str):
        return entry
    if name not in table:
        if (artefact := _ARTEFACT.get()) is not None:
            check_allowed(kind, name, artefact)
        else:
            _LOOKED_UP.add(name)
    module_name, _, class_name = entry.partition(":")
    try:
        with contextlib.nullcontext() if name in table else _importable(_FOLDERS.get()):
            part = getattr(importlib.import_module(module_name), class_name, None)
    except (ImportError, ValueError) as error:
        raise InputError(f"{kind} {name!r}: module {module_name!r} cannot be imported ({error}).") from error
    if not isinstance(part, type):
        raise InputError(f"{kind} {name!r}: module {module_name!r} has no class {class_name!r}.")
    return part


def build(kind: str, name: str, table: Table, *args: object, options: Mapping[str, object], **fixed: object) -> Any:
    """Build a part after checking its options against its constructor.

    Args:
        kind: What is asked for, as in ``"neck"``; for messages.
        name: A name in ``table`` or ``"module:Class"``.
        table: The known parts.
        args: Positional arguments of the constructor, fixed by the contract of the kind.
        options: The user's options: keyword-only arguments of the constructor.
        fixed: Keyword-only arguments fixed by the contract, such as ``causal``; not the user's to give.

    Raises:
        InputError: No such part, an unknown or missing option, or a value of the wrong type.
    """
    part = find(kind, name, table)
    parameters = inspect.signature(part, eval_str=True).parameters.values()
    known = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in fixed}
    if unknown := sorted(set(options) - set(known)):
        rule = f"its options: {', '.join(sorted(known))}" if known else "it has no options"
        raise InputError(f"{kind} {name!r} has no option {', '.join(map(repr, unknown))}; {rule}.")
    if missing := sorted(p.name for p in known.values() if p.default is p.empty and p.name not in options):
        raise InputError(f"{kind} {name!r} needs the option {', '.join(map(repr, missing))}.")
    for option, value in options.items():
        _check_type(f"{kind} {name!r}, option {option!r}", value, known[option].annotation)
    return part(*args, **options, **fixed)


def _check_type(what: str, value: object, annotation: Any) -> None:
    """Compare an option's value with the constructor's annotation; one without annotation is not checked."""
    if annotation is inspect.Parameter.empty:
        return
    import pydantic  # late: it is slow to import and `--help` needs none of it

    try:
        pydantic.TypeAdapter(annotation).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        raise InputError(f"{what}: {error.errors()[0]['msg']}; got {value!r}.") from error
