"""Timestamps in any form as integer microseconds since 1970 (UTC)."""

import polars as pl

from recsys_bert.errors import InputError

PER_SECOND = 1_000_000
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
# Text that is no number, after "T" became a space and a final "Z" went: to the second, to the minute, date; with zone.
PATTERNS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S%.f", "%Y/%m/%d %H:%M")
DATES = ("%Y-%m-%d", "%Y/%m/%d")
ZONED = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
JANUARY_1970 = 31 * 86_400 * PER_SECOND  # microseconds: end of that month
FIRST_LATE = 3_653 * 86_400 * PER_SECOND  # microseconds: the year 1980
LIMIT = 8_000_000_000_000_000  # microseconds; the year 2223, beyond which a unit is misread


def guess_unit(numbers: pl.Series) -> str:
    """Unit in which these numbers are present-day timestamps, by their median, which outliers do not move.

    Args:
        numbers: float64; nulls and NaN are skipped.
    """
    typical = float(numbers.drop_nulls().drop_nans().median() or 0.0)  # type: ignore[arg-type]
    for unit, bound in (("ns", 1e17), ("us", 1e14), ("ms", 1e11)):
        if abs(typical) >= bound:
            return unit
    return "s"


def microseconds(column: pl.Expr, kind: pl.DataType, unit: str) -> pl.Expr:
    """Expression int64 microseconds; null for a missing or unreadable value.

    Args:
        column: The raw column.
        kind: Its type: integer, float, text, date or datetime.
        unit: Unit of numbers: s, ms, us or ns.

    Raises:
        InputError: The type holds no timestamps.
    """
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        return column.cast(pl.Datetime("us", getattr(kind, "time_zone", None))).to_physical()
    if kind.is_integer() or kind.is_float():
        return _in_range(_scaled(column, kind, unit))
    if kind != pl.String:
        raise InputError(f"the time column is of type {kind}; it should hold numbers, ISO dates or datetimes.")
    text = column.str.strip_chars()
    whole = _scaled(text.cast(pl.Int64, strict=False), pl.Int64(), unit)
    broken = _scaled(text.cast(pl.Float64, strict=False), pl.Float64(), unit)
    return _in_range(pl.coalesce(whole, broken))


def date_styles(column: pl.Expr) -> list[pl.Expr]:
    """Expressions int64 microseconds, one per style of ISO text; text without a zone is UTC."""
    plain = column.str.strip_chars().str.replace(r"(\d)T(\d)", "$1 $2").str.replace(r"(Z|\s*UTC)$", "")
    naive = [plain.str.to_datetime(pattern, time_unit="us", strict=False).to_physical() for pattern in PATTERNS]
    dates = [plain.str.to_date(pattern, strict=False).cast(pl.Datetime("us")).to_physical() for pattern in DATES]
    zoned = [plain.str.to_datetime(pattern, time_unit="us", strict=False).to_physical() for pattern in ZONED]
    return [*naive, *dates, *zoned]


def text_dates(column: pl.Expr, sample: pl.Series | None = None) -> pl.Expr:
    """Expression int64 microseconds of ISO text.

    Args:
        column: Text.
        sample: Restricts the styles to those that occur in it, which is several times faster.
    """
    styles = date_styles(column)
    if sample is not None:
        occurs = sample.to_frame("text").select(
            style.is_not_null().any().alias(str(n)) for n, style in enumerate(date_styles(pl.col("text")))
        )
        styles = [style for style, used in zip(styles, occurs.row(0), strict=True) if used] or styles
    return pl.coalesce(styles)


def check_format(pattern: str) -> None:
    """Refuse a pattern that reads no time.

    Raises:
        InputError: See above.
    """
    try:
        pl.select(with_format(pl.lit("x"), pl.String(), pattern))
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"time_format {pattern!r} is no pattern ({str(error).splitlines()[0]}). Write it like '%d.%m.%Y %H:%M'."
        ) from error


def with_format(column: pl.Expr, kind: pl.DataType, pattern: str) -> pl.Expr:
    """Expression int64 microseconds of text, or of integers such as 20240229, in one ``strptime`` pattern."""
    text = column.str.strip_chars() if kind == pl.String else column.cast(pl.String)
    return text.str.to_datetime(pattern, time_unit="us", strict=False, ambiguous="earliest").to_physical()


def as_date(timestamp: int) -> str:
    """Date of microseconds, for messages."""
    return str(pl.select(pl.lit(timestamp).cast(pl.Datetime("us")).dt.date()).item())


def _scaled(column: pl.Expr, kind: pl.DataType, unit: str) -> pl.Expr:
    if kind.is_float():
        factor = 1e-3 if unit == "ns" else float(UNITS[unit])
        return (pl.when(column.is_finite()).then(column) * factor).cast(pl.Int64, strict=False)
    whole = column.cast(pl.Int64, strict=False)
    if unit == "ns":
        return whole // 1000
    factor = UNITS[unit]
    return pl.when(whole.abs() <= LIMIT // factor).then(whole) * factor  # beyond it the product could overflow


def _in_range(timestamp: pl.Expr) -> pl.Expr:
    return pl.when(timestamp.abs() <= LIMIT).then(timestamp)


def parse_timestamp(text: str) -> int:
    """One ISO date of a setting, as microseconds.

    Raises:
        InputError: It is not one.
    """
    value = pl.select(text_dates(pl.lit(text))).item()
    if value is None:
        raise InputError(f"{text!r} is not a date; write it like '2024-05-01' or '2024-05-01T12:00:00'.")
    return int(value)
