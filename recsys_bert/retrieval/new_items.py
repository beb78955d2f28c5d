"""Tables of items that a log does not have yet: ids and text columns, read as side tables are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.item_words import item_texts
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.prepare.side_tables import read_side
from recsys_bert.clicks.prepare.sources import open_source
from recsys_bert.clicks.prepare.table_config import MISSING, TableConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class NewItems:
    """A table of items.

    Args:
        table: ``item_id`` of the log's type, each once, then the table's other columns.
        texts: Text of each, ``""`` without any.
        counts: Rows that were left out, by reason.
    """

    table: pl.DataFrame
    texts: list[str]
    counts: dict[str, int]


def read_new_items(items: Any, dataset: ClickDataset) -> NewItems:
    """Read new items; rows of too few or too many cells, without an id, and with an id that came before are left out.

    Args:
        items: A frame of any library, or a file in any format that ``prepare`` reads: a column ``item_id`` (or the
            first one) and the text columns that the log was prepared with, or some of them.
        dataset: The log.

    Raises:
        InputError: It cannot be read, or has none of the text columns.
    """
    words = dataset.manifest.texts
    if not words:
        raise InputError(
            f"{dataset.folder} was prepared without words of items, so no text says where a new item belongs. Prepare "
            "it with --items items.tsv --item-features.text title."
        )
    is_file = isinstance(items, str | Path)
    reading = TableConfig(bad_rows="drop") if is_file else TableConfig()
    source = open_source(items, "new items", reading, "item_table")
    side = read_side(source, SideFeaturesConfig(), reading, "item_id", dataset.items["item_id"], "item")
    assert side is not None
    columns = [name for name in words["columns"] if name in side.table.columns]
    if not columns:
        raise InputError(
            f"{side.name} has no text column: the items of {dataset.folder} have their words in "
            f"{', '.join(map(repr, words['columns']))}, and it has "
            f"{', '.join(map(repr, side.table.columns)) or 'ids alone'}."
        )
    texts = item_texts(side.table, columns, words.get("missing", MISSING)).fill_null("").to_list()
    counts = {
        "rows of too few or too many cells": side.counts["ragged"],
        "rows without a usable id": side.counts["without_usable_id"],
        "rows whose id came before": side.counts["repeated_id"],
    }
    table = side.table.drop("item_id", "item_row", "count", strict=False)
    return NewItems(table.select(side.ids.alias("item_id"), pl.all()), texts, counts)
