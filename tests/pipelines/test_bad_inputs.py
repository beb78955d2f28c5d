"""Every kind of bad input ends with one clear message, status 2, and nothing written."""

from pathlib import Path

import pytest

from pipelines.benchmarks.bad_inputs import CASES, Case, make_good, table, try_case


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    make_good(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_bad_input_is_refused_and_leaves_nothing(case: Case, good: Path, tmp_path: Path):
    _, _, faults = try_case(case, good, tmp_path / "work")
    assert faults == []


def test_what_does_not_fail_or_leaves_something_is_told(good: Path, tmp_path: Path):
    fine = Case("nothing is wrong", "prepare --events log/clicks.parquet --out out", "no such words")
    status, said, faults = try_case(fine, good, tmp_path / "work")
    assert faults[:2] == ["status 0", "does not say 'no such words'"]
    assert "out/manifest.json" in faults[2]
    assert len(table([(fine, status, said)]).splitlines()) == 3
