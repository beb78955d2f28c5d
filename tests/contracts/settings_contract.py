"""Contract of settings: each one, changed, gives another run or is refused; none is accepted without effect."""

import dataclasses
import hashlib
import inspect
import json
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pipelines.support.short_help import all_settings
from recsys_bert.encoder.parts import Table, find
from recsys_bert.errors import InputError

Flat = Mapping[str, Any]
"""Settings by dotted name, as in ``{"encoder.dim": 8}``."""


@dataclass(frozen=True)
class Outcome:
    """All that a run shows: two runs that differ in nothing of it are the same run."""

    weights: str
    """Hash of the artefact's files of numbers; files that only repeat settings are left out."""

    results: Any
    """Metrics, ``metrics.jsonl``, predictions: plain values without times."""

    config: Flat = field(default_factory=dict, compare=False)
    """Resolved settings, as the run folder's ``config.toml`` has them."""


@dataclass(frozen=True)
class Change:
    """One setting of one base run, changed."""

    base: str
    name: str
    value: Any
    context: Flat = field(default_factory=dict)
    """Settings of the base run that this setting needs."""

    def __str__(self) -> str:
        within = ",".join(f"{name}={value}" for name, value in self.context.items())
        return f"{self.base}{f'[{within}]' if within else ''}-{self.name}={self.value}".replace(" ", "")


@dataclass(frozen=True)
class SettingsContract:
    """Settings of one training function, and how each is changed."""

    config: type
    """The config dataclass."""

    bases: Mapping[str, Flat]
    """Base runs; every setting is changed in each of them, unless ``only`` narrows that."""

    values: Mapping[str, list[Any]] = field(default_factory=dict)
    """Other values, where the type does not give them."""

    contexts: Mapping[str, Flat] = field(default_factory=dict)
    """Settings that a setting needs to have an effect; it is changed both with and without them."""

    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Beginnings of the names that are changed in a base, where not all are."""

    detected: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    """Values by base and setting that say what is detected, or is so, without them; they may have no effect."""

    exempt: Mapping[str, str] = field(default_factory=dict)
    """Settings whose effect no run on a CPU can show, with the reason."""

    def changes(self) -> list[Change]:
        """List every change of every base."""
        return [change for base in self.bases for change in self._changes(base)]

    def _changes(self, base: str) -> Iterator[Change]:
        for setting in all_settings(self.config):
            if setting.name in self.exempt or not setting.name.startswith(self.only.get(base, ("",))):
                continue
            contexts: list[Flat] = [{}]
            contexts += [self.contexts[setting.name]] if setting.name in self.contexts else []
            for context in contexts:
                current = {**self.bases[base], **context}.get(setting.name, setting.default)
                values = self.values.get(setting.name) or alternatives(
                    setting.hint, current, setting.names, setting.name
                )
                detected = self.detected.get(base, {}).get(setting.name, ())
                for value in values:
                    if plain(value) != plain(current) and value not in detected:
                        yield Change(base, setting.name, value, context)

    def defaults(self, base: str) -> Flat:
        """Value of every setting in a base, defaults included."""
        settings = self.bases[base]
        return {s.name: plain(settings.get(s.name, s.default)) for s in all_settings(self.config)}


class Runs:
    """Outcomes of settings, each trained once.

    Args:
        contract: The contract.
        train: Trains with nested settings; raises InputError where it refuses them.
    """

    def __init__(self, contract: SettingsContract, train: Callable[[dict[str, Any]], Outcome]) -> None:
        self.contract, self.train = contract, train
        self.outcomes: dict[str, Outcome | InputError] = {}

    def of(self, *settings: Flat) -> Outcome | InputError:
        """Outcome of merged settings, or their refusal."""
        merged = nested({name: value for group in settings for name, value in group.items()})
        key = json.dumps(merged, sort_keys=True, default=str)
        if key not in self.outcomes:
            try:
                self.outcomes[key] = self.train(merged)
            except InputError as error:
                self.outcomes[key] = error
        return self.outcomes[key]

    def of_base(self, change: Change) -> Outcome | InputError:
        """Outcome of the run that a change starts from."""
        return self.of(self.contract.bases[change.base], change.context)

    def of_change(self, change: Change) -> Outcome | InputError:
        """Outcome of the changed run."""
        return self.of(self.contract.bases[change.base], change.context, {change.name: change.value})

    def has_effect(self, change: Change) -> bool:
        """True if the change is accepted and gives another run."""
        before, after = self.of_base(change), self.of_change(change)
        return isinstance(before, Outcome) and isinstance(after, Outcome) and after != before


def check_change(runs: Runs, change: Change) -> None:
    """A changed setting changes the run, and its ``config.toml`` says so; or the refusal names the setting."""
    before = runs.of_base(change)
    if isinstance(before, InputError):
        assert change.context, before
        return  # its context does not suit the base; ``check_effects`` sees to it that another does
    after = runs.of_change(change)
    if isinstance(after, InputError):
        words = [*change.name.replace("_options", "").split("."), str(change.value)]
        assert any(word in str(after) for word in words), f"refused without its name: {after}"
        return
    assert after != before, f"{change} has no effect"
    resolved = after.config.get(change.name, plain(change.value))
    assert resolved == plain(change.value), f"config.toml says {change.name} = {resolved!r}"


def check_exempt(contract: SettingsContract) -> None:
    """Exempt settings exist, and nothing is said of settings that do not."""
    names = {setting.name for setting in all_settings(contract.config)}
    mentioned = {*contract.exempt, *contract.values, *contract.contexts}
    assert mentioned <= names, f"no such settings: {sorted(mentioned - names)}"


def check_effects(runs: Runs, changes: Iterable[Change], refused: Iterable[str]) -> None:
    """Every setting has an effect in some base, but for those that are ``refused`` in all."""
    names = {change.name for change in changes}
    effective = {change.name for change in changes if runs.has_effect(change)}
    assert names - effective == set(refused)


def check_named_defaults(runs: Runs, base: str, accepts: Callable[[dict[str, Any]], None]) -> None:
    """A default that is named by hand is what the run is trained with, or is refused.

    Args:
        runs: The runs.
        base: The base run.
        accepts: Raises InputError for nested settings that are refused; trains nothing.
    """
    settings = runs.contract.bases[base]
    outcome = runs.of(settings)
    assert not isinstance(outcome, InputError), outcome
    ignored = []
    for name, value in runs.contract.defaults(base).items():
        if outcome.config.get(name, value) == value or value in (dataclasses.MISSING, "auto"):  # auto is settled
            continue
        try:
            accepts(nested({**settings, name: value}))
        except InputError:
            continue
        ignored.append(f"{name} = {value!r} is {outcome.config[name]!r}")
    assert not ignored


def alternatives(hint: Any, current: Any, names: tuple[str, ...] = (), name: str = "") -> list[Any]:
    """Other values of a setting, by its type."""
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    if names:
        return [name for name in names if name != current]
    if typing.get_origin(hint) is typing.Literal:
        return [option for option in options if option != current]
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and options:
        return alternatives(options[0], current, name=name)
    if hint is bool:
        return [not current]
    if hint is int and current is not None:
        return [current + 1]
    if hint is float:
        return [current / 2 if current else 0.25]
    raise TypeError(f"no other value of {name or hint}, now {current!r}: give one in the values")


def part_options(
    base: str, setting: str, kind: str, table: Table, values: Flat, *, options: str = "", **fixed: Any
) -> list[Change]:
    """Changes of each option of each part in a table.

    Args:
        base: The base run.
        setting: Dotted name of the setting that names the part, as in ``encoder.neck``; options are in ``…_options``.
        kind: Kind of part, as in ``neck``.
        table: The parts.
        values: Other values by ``part.option`` or ``option``, where the type does not give them.
        options: Setting that holds the options, where it is not ``…_options``.
        fixed: Context of every change, by dotted name with ``__`` for dots.
    """
    also = {name.replace("__", "."): value for name, value in fixed.items()}
    changes = []
    for name in table:
        for option, parameter in inspect.signature(find(kind, name, table), eval_str=True).parameters.items():
            if parameter.kind is not parameter.KEYWORD_ONLY or option in (
                "causal",
                "max_len",
                "timed",
            ):  # not the user's
                continue
            key = f"{name}.{option}"
            others = values.get(key, values.get(option))
            others = others or alternatives(parameter.annotation, parameter.default, name=key)
            names = f"{options or f'{setting}_options'}.{option}"
            changes += [Change(base, names, value, {**also, setting: name}) for value in others]
    return changes


def nested(settings: Flat) -> dict[str, Any]:
    """Nested settings from dotted ones."""
    merged: dict[str, Any] = {}
    for name, value in settings.items():
        *tables, last = name.split(".")
        group = merged
        for table in tables:
            group = group.setdefault(table, {})
        group[last] = dict(value) if isinstance(value, dict) else value
    return merged


def flat(settings: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Dotted settings from those of a ``config.toml``; a dict that is one setting stays whole."""
    resolved: dict[str, Any] = {}
    for setting in all_settings(kind):
        value: Any = settings
        for key in setting.name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        resolved[setting.name] = None if value == "None" else value
    return resolved


def read_config_toml(run: Path, kind: type) -> dict[str, Any]:
    """Resolved settings of a run folder by dotted name."""
    return flat(tomllib.loads((run / "config.toml").read_text(encoding="utf-8")), kind)


def metric_lines(run: Path) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl`` without times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def hash_files(*files: Path) -> str:
    """Hash of files' contents."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def plain(value: Any) -> Any:
    """Value as a recipe has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if value == "None":
        return None
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def parametrize(changes: list[Change]) -> Any:
    """Decorate a test with one case a change."""
    return pytest.mark.parametrize("change", changes, ids=str)
