"""Allow and deny lists, each against the catalogue by hand."""

import polars as pl
import pytest

from recsys_bert.errors import InputError
from recsys_bert.retrieval.item_filter import allowed_rows


def ids(dataset, **lists):
    rows = allowed_rows(dataset, **lists)
    assert rows is not None
    assert not rows[: dataset.vocabulary.first_item].any()
    return set(dataset.ids(rows.nonzero()[0]).to_list())


EVERYTHING = set(range(34))


def test_without_lists_nothing_is_filtered(side_log):
    assert allowed_rows(side_log) is None


def test_ids_allow_and_deny(side_log):
    assert ids(side_log, only=[3, 5, 33]) == {3, 5, 33}  # 33 is cold
    assert ids(side_log, without=pl.Series([3, 5])) == EVERYTHING - {3, 5}
    assert ids(side_log, only=[3, 5, 7], without=[5]) == {3, 7}


def test_values_of_one_column_are_alternatives_and_columns_add_up(side_log):
    kind = {n for n in EVERYTHING if n % 5 in (1, 2)}
    assert ids(side_log, only={"kind": ["kind 1", "kind 2"]}) == kind
    tagged = {n for n in EVERYTHING if n % 2 == 0 or n % 3 == 0}  # tag 0 is that of either remainder
    assert ids(side_log, only={"tags": "tag 0"}) == tagged
    assert ids(side_log, only={"kind": ["kind 1", "kind 2"], "tags": "tag 0"}) == kind & tagged
    assert ids(side_log, without={"kind": ["kind 1"], "tags": "tag 0"}) == EVERYTHING - tagged - {
        n for n in EVERYTHING if n % 5 == 1
    }


def test_files_and_frames(side_log, tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("﻿4\n\n 6 \n", encoding="utf-8")
    pl.DataFrame({"item_id": [4, 9], "note": ["x", "y"]}).write_csv(tmp_path / "ids.csv")
    pl.DataFrame({"kind": ["kind 1", "kind 77"]}).write_parquet(tmp_path / "kinds.parquet")
    assert ids(side_log, only=tmp_path / "ids.txt") == {4, 6}
    assert ids(side_log, only=[tmp_path / "ids.txt", tmp_path / "ids.csv"]) == {4}
    assert ids(side_log, without=[tmp_path / "ids.txt", {"kind": "kind 2"}]) == EVERYTHING - {4, 6} - {
        n for n in EVERYTHING if n % 5 == 2
    }
    assert ids(side_log, only=tmp_path / "kinds.parquet") == {n for n in EVERYTHING if n % 5 == 1}
    assert "1 of 2 values of kind are of no item" in capsys.readouterr().err
    assert ids(side_log, only=pl.DataFrame({"item_id": [4, 999]}).to_arrow()) == {4}
    assert "1 of 2 ids of the item list are not in" in capsys.readouterr().err
    assert ids(side_log, without=[998, 999]) == EVERYTHING
    assert "warning: no id of the item list is in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"only": {"kind": "kind 11"}}, "no item has kind 'kind 11'; did you mean 'kind 1'"),
        ({"only": {"knid": "kind 1"}}, "no side column of the items is called 'knid'; did you mean 'kind'"),
        ({"without": {"kind": [f"kind {n}" for n in range(5)]}}, "leave none of the 34 items"),
        ({"only": [999]}, "leave none of the 34 items"),
        (
            {"only": pl.DataFrame({"a": [1], "b": [2]})},
            "the columns 'a', 'b'; it needs item_id, or one side column",
        ),
        ({"only": ["x"]}, "item ids of this log are integers, which 'x' cannot be"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(side_log, lists, message):
    with pytest.raises(InputError, match=message):
        allowed_rows(side_log, **lists)
