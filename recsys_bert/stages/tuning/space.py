"""Search spaces: one dimension a setting, written ``log:1e-4:1e-2``, ``int:1:4`` or ``choice:last,scalar_mix``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.errors import InputError
from recsys_bert.stages.comparison.grid import parse_values, value_text

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FORMS = "log:1e-4:1e-2, float:0:0.5, float:0:0.5:0.1 (step), int:1:4, int:16:128:16, logint:16:256 or choice:last,pool"
_NUMBERS = ("float", "log", "int", "logint")


@dataclass(frozen=True)
class Dimension:
    """Values of one setting."""

    name: str
    """Dotted, as in a recipe: ``encoder.fusion``."""

    kind: Literal["float", "log", "int", "logint", "choice"]

    low: float = 0.0
    """Lowest number."""

    high: float = 0.0
    """Highest number."""

    step: float | None = None
    """Distance of neighbouring numbers; None: 1 of integers, none of others."""

    choices: tuple[Any, ...] = ()
    """Values of ``choice``, as TOML has them."""

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"choice:{','.join(map(value_text, self.choices))}"
        return ":".join([self.kind, f"{self.low:g}", f"{self.high:g}", *([f"{self.step:g}"] if self.step else [])])

    @property
    def ends(self) -> list[Any]:
        """Both ends, or all choices."""
        return list(self.choices) if self.kind == "choice" else [self.value(self.low), self.value(self.high)]

    @property
    def size(self) -> int | None:
        """Number of values; None of a range without steps."""
        if self.kind == "choice":
            return len(self.choices)
        if self.kind in ("int", "logint") or self.step:
            return round((self.high - self.low) / (self.step or 1)) + 1
        return None

    def distribution(self) -> "BaseDistribution":
        """As optuna has it; choices by their text."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution([value_text(value) for value in self.choices])
        if self.kind in ("int", "logint"):
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return IntDistribution(low, high, log=self.kind == "logint", step=step)
        return FloatDistribution(self.low, self.high, log=self.kind == "log", step=self.step)

    def value(self, suggested: Any) -> Any:
        """Setting of a suggestion."""
        if self.kind == "choice":
            return next(value for value in self.choices if value_text(value) == suggested)
        return int(suggested) if self.kind in ("int", "logint") else float(suggested)

    def suggestion(self, value: Any) -> Any:
        """Suggestion that gives a setting; None where it is not in the space."""
        if self.kind == "choice":
            text = value_text(list(value) if isinstance(value, tuple) else value)
            return text if text in map(value_text, self.choices) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:
            return None
        if self.kind in ("int", "logint") and value != int(value):
            return None
        steps = (value - self.low) / (self.step or (1 if self.kind == "int" else 0) or 1)
        on_grid = self.step is None or math.isclose(steps, round(steps), abs_tol=1e-9)
        return self.value(value) if on_grid else None


def parse_dimension(text: str) -> Dimension:
    """Read ``name=kind:…``.

    Raises:
        InputError: There is no name, or see ``dimension``.
    """
    name, equals, rest = text.partition("=")
    name = name.strip().replace("-", "_")
    if not name or not equals:
        raise InputError(f"space {text!r} is no setting with values; write it as train.lr=log:1e-4:1e-2.")
    return dimension(name, rest.strip())


def dimension(name: str, text: str) -> Dimension:
    """Read the values of a setting.

    Raises:
        InputError: They are of no known form, or a range is empty or has no logarithm.
    """
    kind, colon, rest = text.partition(":")
    if kind == "choice" and colon:
        return choice(name, parse_values(rest))
    if kind not in _NUMBERS or not colon:
        raise InputError(f"space {name}={text}: no values are written so. Known forms: {FORMS}.")
    try:
        numbers = [float(part) for part in rest.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not all(map(math.isfinite, numbers)):
        raise InputError(f"space {name}={text}: a range is two numbers, and a step if any: {FORMS}.")
    return _range(name, kind, *numbers)


def _range(name: str, kind: Any, low: float, high: float, step: float | None = None) -> Dimension:
    """Check a range.

    Raises:
        InputError: See ``dimension``.
    """
    one = Dimension(name, kind, low, high, step)
    if not low < high:
        raise InputError(f"space {name}={one}: the range is empty; the lower end comes first.")
    if kind in ("log", "logint") and low <= 0:
        raise InputError(f"space {name}={one}: a logarithmic range begins above 0.")
    if kind in ("log", "logint") and step is not None:
        raise InputError(f"space {name}={one}: a logarithmic range has no step; leave it out.")
    if kind in ("int", "logint") and any(number != int(number) for number in (low, high, step or 1)):
        raise InputError(f"space {name}={one}: a range of integers has integer ends and steps; float: takes others.")
    if step is not None:
        if not 0 < step <= high - low:
            raise InputError(f"space {name}={one}: the step lies above 0 and within the range.")
        if not math.isclose((high - low) / step, round((high - low) / step), abs_tol=1e-9):
            raise InputError(f"space {name}={one}: steps of {step:g} from {low:g} do not end at {high:g}.")
    return one


def choice(name: str, values: Sequence[Any]) -> Dimension:
    """Values to choose from.

    Raises:
        InputError: There is none, or one twice.
    """
    texts = [value_text(value) for value in values]
    if not texts or len(set(texts)) < len(texts) or "" in texts:
        raise InputError(f"space {name} has the choices {', '.join(texts) or 'none'}; give at least one, each once.")
    return Dimension(name, "choice", choices=tuple(values))


def parse_space(texts: Sequence[str]) -> list[Dimension]:
    """Read all dimensions.

    Raises:
        InputError: There is none, one is wrong, or a setting comes twice.
    """
    return _checked([parse_dimension(text) for text in texts])


def space_of(space: Mapping[str, Any]) -> list[Dimension]:
    """Dimensions of a dict: setting → text as on the command line, list of choices, or one value for all trials.

    Raises:
        InputError: There is none, or one is wrong.
    """
    dimensions = []
    for name, values in space.items():
        if isinstance(values, str):
            dimensions.append(dimension(name, values))
        else:
            dimensions.append(choice(name, values if isinstance(values, list | tuple) else [values]))
    return _checked(dimensions)


def _checked(dimensions: Sequence[Dimension]) -> list[Dimension]:
    names = [one.name for one in dimensions]
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise InputError(f"the space has {twice} twice; name each setting once.")
    if inner := next((name for name in names for other in names if name.startswith(f"{other}.")), None):
        raise InputError(f"the space has {inner} and a table that it belongs to; search one of them.")
    if not any(len(one.ends) > 1 for one in dimensions):
        raise InputError(f"the space has nothing to choose; give at least one setting with several values: {FORMS}.")
    return list(dimensions)
