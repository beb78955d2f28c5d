"""Every bad input ends with one clear message, status 2, and nothing written."""

from pathlib import Path

import pytest
from cases.bad_input import Case, faults_of
from cases.clicks import CASES, make_valid


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valid")
    make_valid(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_bad_input_is_refused_and_leaves_nothing(case: Case, valid: Path, tmp_path: Path):
    assert faults_of(case, valid, tmp_path / "work") == []


def test_a_command_that_succeeds_or_writes_is_a_fault(valid: Path, tmp_path: Path):
    fine = Case("no fault", "prepare --events log/clicks.parquet --out out", "no such words")
    faults = faults_of(fine, valid, tmp_path / "work")
    assert faults[:2] == ["status 0", "does not say 'no such words'"]
    assert "out/manifest.json" in faults[2]
