"""Every bad input to the text commands ends with one clear message, status 2, and nothing written."""

import shutil
from pathlib import Path

import pytest
from cases.bad_input import Case, append, call, faults_of, resealed
from cases.texts import CASES, TRAININGS, begun, make_valid

from recsys_bert.files import read_json, write_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valid")
    make_valid(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_bad_input_is_refused_and_leaves_nothing(case: Case, valid: Path, tmp_path: Path):
    assert faults_of(case, valid, tmp_path / "work") == []


@pytest.mark.parametrize("training", TRAININGS, ids=lambda line: line.split(" --")[0])
def test_no_training_goes_on_from_another_start(training: str, valid: Path, tmp_path: Path):
    work = tmp_path / "work"
    shutil.copytree(valid, work, ignore=shutil.ignore_patterns("begun"))
    assert call(work, begun(training))[0] == 0
    assert call(work, begun(training))[0] == 0
    resealed(append("classified/classifier/vocab.txt", "word\n"), "classified/classifier")(work)
    status, message = call(work, begun(training))
    assert (status, "vocab.txt is not what begun was begun with" in message) == (2, True)

    noted = work / "begun" / "data.json"  # as it was before starts were noted
    digests = read_json(noted, sealed=True).items()
    write_json(noted, {path: digest for path, digest in digests if "classified" not in path}, sealed=True)
    assert call(work, begun(training))[0] == 0
