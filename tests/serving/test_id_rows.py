"""Look-ups of single ids agree with the log's own."""

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.vocabulary import as_ids
from recsys_bert.errors import InputError
from recsys_bert.serving.id_rows import IdRows

INTEGERS = pl.Series([7, -3, 12, 2**62, 0])
TEXTS = pl.Series(["7", "../etc", "a\x00b", "é", "<b>", ""])


@pytest.mark.parametrize("ids", [INTEGERS, TEXTS], ids=["integers", "texts"])
def test_rows_are_positions_and_back(ids):
    table = IdRows(ids, "item")
    assert table.rows(ids.to_list()).tolist() == list(range(len(ids)))
    assert table.ids(np.arange(len(ids))) == ids.to_list()
    assert table.ids(np.arange(200) % len(ids)) == ids.to_list() * (200 // len(ids)) + ids.to_list()[: 200 % len(ids)]


@pytest.mark.parametrize("value", ["7", "12.0", "-3", 7, 0, 99, "0012", "1e3", " 7", "٣", "", "x", 2**63, -(2**63)])
def test_ids_are_cast_as_the_log_casts_them(value):
    for ids in (INTEGERS, TEXTS):
        table = IdRows(ids, "item")
        try:
            cast = as_ids(pl.Series([str(value)]), ids.dtype)[0]
        except InputError:
            with pytest.raises(InputError, match="item ids of this log are integers"):
                table.rows([value])
            continue
        assert table.cast(value) == cast
        assert table.rows([value]).tolist() == [ids.to_list().index(cast) if cast in ids.to_list() else -1]


def test_texts_with_one_checksum_are_told_apart():
    ids = pl.Series(["plumless", "buckeroo", "other"])  # crc32 of the first two is the same
    table = IdRows(ids, "user")
    assert table.rows(["buckeroo", "plumless", "nobody"]).tolist() == [1, 0, -1]


def test_no_ids_have_no_rows():
    assert IdRows(pl.Series([], dtype=pl.String), "user").rows(["a"]).tolist() == [-1]
    assert IdRows(INTEGERS, "item").rows([]).tolist() == []
