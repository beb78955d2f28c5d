"""Random logs, side tables and impressions are read with all rows accounted for, or refused in words."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from faults.fuzzing import BUDGET, PLAIN, TIMES, WORDS, table_files, write
from hypothesis import event, given
from hypothesis import strategies as st

import recsys_bert as rb
from recsys_bert.ctr.config import ColumnsConfig
from recsys_bert.ctr.impressions import read_impressions
from recsys_bert.errors import InputError

LOG = {"user_id": PLAIN, "item_id": PLAIN, "timestamp": TIMES}
SIDE = {"item_id": PLAIN, "kind": WORDS, "tags": WORDS}
IMPRESSIONS = {"user": PLAIN, "item": PLAIN, "time": TIMES, "kind": WORDS, "label": st.sampled_from("01")}
CLEAN = pl.DataFrame(
    {"user_id": [u for u in "abcd" for _ in "123456"], "item_id": list("123712") * 4, "timestamp": range(24)}
)


@pytest.fixture(autouse=True)
def quiet(capsys):
    """Hundreds of summaries are of no use in a failure's report."""
    yield
    capsys.readouterr()


@BUDGET
@given(file=table_files(LOG), bad_rows=st.sampled_from(("error", "drop")))
def test_a_random_log_is_counted_or_refused(file, bad_rows):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), file)
        try:
            dataset = rb.prepare(path, out=Path(folder) / "out", log={"bad_rows": bad_rows})
        except InputError:
            event("refused")
            return
        event("read")
        for step in dataset.manifest.filters:
            assert step["events_in"] - step["events_out"] == sum(step["reasons"].values()), step
        assert dataset.manifest.filters[-1]["events_out"] == dataset.manifest.counts["events"]
        assert not {"", "NULL", "nan"} & set(dataset.vocabulary.item_ids.drop_nulls().cast(str).to_list())


@BUDGET
@given(file=table_files(SIDE))
def test_a_random_side_table_is_counted_or_refused(file):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), file)
        try:
            dataset = rb.prepare(
                CLEAN,
                items=path,
                out=Path(folder) / "out",
                item_features={"id": "item_id", "categorical": ["kind"], "multi": ["tags"]},
            )
        except InputError:
            event("refused")
            return
        event("read")
        assert dataset.manifest.counts["events"] == CLEAN.height


@BUDGET
@given(file=table_files(IMPRESSIONS))
def test_random_impressions_are_read_whole_or_refused(file):
    columns = ColumnsConfig(user="user", item="item", time="time")
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), file)
        try:
            impressions = read_impressions(path, columns, ["kind", "item"])
        except InputError:
            event("refused")
            return
        event("read")
        assert len(impressions) == len(impressions.labels) == len(impressions.times) > 0
        assert set(np.unique(impressions.labels)) <= {0.0, 1.0}
