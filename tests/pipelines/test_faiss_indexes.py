"""The benchmark of index types, on a few vectors."""

import json

import pytest

from pipelines.benchmarks.faiss_indexes import Config, run
from recsys_bert.errors import InputError


@pytest.mark.parametrize("vectors", ["simulated", "random"])
def test_nothing_denied_is_listed_and_tables_say_so(tmp_path, vectors):
    config = Config(
        out=tmp_path / "table", items=600, dim=16, queries=20, k=5, vectors=vectors, deny=(0.5, 0.95),
        factories=("Flat", "HNSW16", "LSH64r"),
    )  # fmt: skip
    results = run(config)
    assert json.loads((tmp_path / "table.json").read_text())["denied"] == results["denied"]
    assert [line["deny"] for line in results["denied"]] == [0.5, 0.95] * 3
    for line in results["denied"]:
        assert (line["denied_listed"], line["short_lists"]) == (0, 0)
        assert line["recall"] == 1 if line["factory"] == "Flat" else 0 < line["recall"] <= 1
    table = (tmp_path / "table.md").read_text()
    assert f"600 {vectors} item vectors of dim 16" in table
    assert "| `HNSW16` | 50% | 0 | 0 |" in table


def test_shares_that_leave_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="shares lie in"):
        Config(out=tmp_path, deny=(1.0,))
