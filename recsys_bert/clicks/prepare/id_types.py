"""Ids of a whole log: integers or text."""

import polars as pl

from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.ids import WRITTEN_WHOLE, count_text_ids, integer_ids
from recsys_bert.clicks.prepare.sources import TableSource
from recsys_bert.errors import InputError


def settle_ids(source: TableSource, config: LogConfig, table: pl.LazyFrame) -> tuple[dict[str, bool], list[str]]:
    """Tell columns of text ids that are all integers.

    Args:
        source: The log, for messages.
        config: Its settings.
        table: Rows with ``user``, ``item`` and ``bad``.

    Returns:
        By column, whether its text ids are integers; and columns whose ids lose a final ``.0``.

    Raises:
        InputError: They are a mixture.
    """
    schema = table.collect_schema()
    whole, point_zero = {}, []
    for role in ("user", "item"):
        if schema[role] != pl.String:
            continue
        good = table.filter(pl.col("bad") == 0)
        ids = count_text_ids(good, role)
        name = getattr(config, role)
        if not ids.words and not ids.plain:
            point_zero.append(role)
        if config.ids == "text":
            continue
        if 0 < ids.words < ids.total or (ids.words and config.ids == "integer"):
            raise _mixed(source, role, name, good, ids.words)
        if ids.too_large and config.ids == "integer":
            large = good.filter(integer_ids(pl.col(role), pl.String()).is_null()).select(role).head(1).collect().item()
            as_text = source.setting("log", "ids", "text")
            raise InputError(f"column {name!r} holds {large}; integer ids end at 2^63 - 1. Pass {as_text}.")
        whole[role] = ids.whole == ids.total
    return whole, point_zero


def _mixed(source: TableSource, role: str, name: str, good: pl.LazyFrame, n_text: int) -> InputError:
    is_whole = pl.col(role).str.contains(WRITTEN_WHOLE)
    text = good.filter(~is_whole).select(role).head(1).collect().item()
    whole = good.filter(is_whole).select(role).head(1).collect()
    beside = f" beside integers such as {whole.item()}" if len(whole) else ""
    return InputError(
        f"column {name!r} holds {n_text:,} {role} ids that are text, such as {text!r}{beside}."
        f" Correct them, or pass {source.setting('log', 'ids', 'text')} to take all of them as text."
    )
