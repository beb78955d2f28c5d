"""Catalogue rows of items that came after a log was prepared."""

import numpy as np
import polars as pl

import recsys_bert as rb
from recsys_bert.clicks.added_items import in_columns_of


def test_added_items_have_rows_ids_and_the_columns_of_the_catalogue(side_log):
    added = pl.DataFrame(
        {"item_id": ["901", "902"], "kind": ["k", None], "tags": [["a"], ["b", "c"]], "count": [7, 7], "other": [1, 2]}
    )
    frame = in_columns_of(side_log.items, added)
    log = side_log.with_items(frame[:1]).with_items(frame[1:])
    assert log.n_rows == side_log.n_rows + 2
    assert log.items.schema == side_log.items.schema
    assert log.items[: side_log.items.height].equals(side_log.items)
    assert log.items["item_id"][-2:].to_list() == [901, 902]
    assert log.items["kind"][-2:].to_list() == ["k", None]
    assert log.items["count"][-2:].to_list() == [0, 0]
    assert log.rows([901, 902]).tolist() == [side_log.n_rows, side_log.n_rows + 1]
    assert log.ids([side_log.n_rows + 1]).to_list() == [902]
    for name, table in log.item_features.items():
        np.testing.assert_array_equal(table[:-2], side_log.item_features[name])
        assert not table[-2:].any()
    assert log.fingerprint == side_log.fingerprint
    assert side_log.items.height == log.items.height - 2  # the log itself stays


def test_values_of_another_kind_are_null_or_lists_of_one():
    items = pl.DataFrame(
        {"item_row": [3], "item_id": ["a"], "count": [5], "tags": [["x"]], "price": [1.5], "size": [{"w": 1}]}
    )
    added = pl.DataFrame({"item_id": ["b"], "tags": ["y"], "price": ["cheap"], "size": ["big"]})
    frame = in_columns_of(items, added)
    assert frame.rows() == [("b", ["y"], None, None)]
    assert frame.schema == items.select("item_id", "tags", "price", "size").schema


def test_the_log_grows_by_items_of_a_prepared_one():
    events = pl.DataFrame({"user_id": [1, 1, 1, 2, 2, 2], "item_id": [1, 2, 3, 1, 2, 3], "timestamp": range(6)})
    log = rb.prepare(events, items=pl.DataFrame({"item_id": [1, 9], "title": ["one", "nine"]}))
    grown = log.with_items(in_columns_of(log.items, pl.DataFrame({"item_id": [10], "title": ["ten"]})))
    assert grown.known_to(log.fingerprint).items["title"][-2:].to_list() == ["nine", "ten"]
