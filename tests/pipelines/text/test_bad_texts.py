"""Every kind of bad input to the text commands ends with one clear message, status 2, and nothing written."""

import shutil
from pathlib import Path

import pytest

from pipelines.benchmarks.bad_inputs import Case, append, call, try_case
from pipelines.benchmarks.bad_texts import CASES, TRAININGS, begun, make_good
from recsys_bert.files import read_json, write_json


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    make_good(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_bad_input_is_refused_and_leaves_nothing(case: Case, good: Path, tmp_path: Path):
    _, said, faults = try_case(case, good, tmp_path / "work")
    assert faults == [], said


@pytest.mark.parametrize("training", TRAININGS, ids=lambda line: line.split(" --")[0])
def test_no_training_goes_on_from_another_start(training: str, good: Path, tmp_path: Path):
    work = tmp_path / "work"
    shutil.copytree(good, work, ignore=shutil.ignore_patterns("begun"))
    assert call(work, begun(training))[0] == 0
    assert call(work, begun(training))[0] == 0
    append("classified/classifier/vocab.txt", "word\n")(work)
    status, said = call(work, begun(training))
    assert (status, "vocab.txt is not what begun was begun with" in said) == (2, True)

    noted = work / "begun" / "data.json"  # as it was before starts were noted
    write_json(noted, {path: digest for path, digest in read_json(noted).items() if "classified" not in path})
    assert call(work, begun(training))[0] == 0
