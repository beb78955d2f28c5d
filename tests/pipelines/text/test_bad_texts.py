"""Every kind of bad input to the text commands ends with one clear message, status 2, and nothing written."""

from pathlib import Path

import pytest

from pipelines.benchmarks.bad_inputs import Case, try_case
from pipelines.benchmarks.bad_texts import CASES, make_good


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    make_good(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_bad_input_is_refused_and_leaves_nothing(case: Case, good: Path, tmp_path: Path):
    _, said, faults = try_case(case, good, tmp_path / "work")
    assert faults == [], said
