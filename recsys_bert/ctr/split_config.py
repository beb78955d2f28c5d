"""Settings of the cut by time. No torch in here."""

from dataclasses import dataclass

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TimeSplitConfig:
    """Time cut into training, validation and test impressions."""

    validation_from: float | str | None = None
    """Start of validation: quantile of the timestamps in (0, 1), or ISO date (UTC). None: where the prepared log's
    validation starts, if that was cut by time; else 0.8."""

    test_from: float | str | None = None
    """Start of the test; None: as above, else 0.9."""

    def __post_init__(self) -> None:
        for name in ("validation_from", "test_from"):
            value = getattr(self, name)
            if isinstance(value, float | int) and not 0 < value < 1:
                raise InputError(f"split.{name} is {value}; a quantile lies between 0 and 1.")
