"""Artefacts have the mode that the umask allows; a file that may not be opened is called so."""

import itertools
import os
import shlex
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.commands import COMMANDS
from faults.test_outputs import WRITERS, with_out
from safetensors.torch import save_file

from pipelines.cli import main
from recsys_bert.files import replacing


def modes(folder):
    return {path: path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def test_every_file_of_every_artefact(artefacts):
    for name in COMMANDS:
        for path, mode in modes(artefacts / name).items():
            assert mode == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0, 0o666, 0o777)])
def test_umask(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "run") as temporary:
            (temporary / "inner").mkdir(parents=True)
            save_file({"a": torch.ones(1)}, temporary / "inner/model.safetensors")
            np.save(temporary / "rows.npy", np.ones(1))
        with replacing(tmp_path / "alone") as temporary:
            Path(tempfile.mkstemp(dir=temporary.parent)[1]).rename(temporary)
    finally:
        os.umask(before)
    assert {mode for path, mode in modes(tmp_path).items() if path.is_file()} == {file}
    assert {mode for path, mode in modes(tmp_path).items() if path.is_dir()} == {folder}


HIDDEN = [
    ("encoder/encoder/model.safetensors", "recommend --data prepared --run encoder --users 1"),
    ("encoder", "recommend --data prepared --run encoder --users 1"),
    ("prepared/vocabulary.parquet", "recommend --data prepared --run encoder --users 1"),
    ("prepared", "recommend --data prepared --run encoder --users 1"),
    ("classifier/classifier/model.safetensors", "text classify predict --run classifier --texts a"),
    ("classifier", "text classify predict --run classifier --texts a"),
    ("clicks.csv", "predict-ctr --run ctr --impressions clicks.csv --out others/scores.parquet"),
    ("topics.tsv", "text classify evaluate --run classifier --file topics.tsv"),
    ("log.parquet", "prepare --events log.parquet --out others/out"),
]
ONLY_ROOT = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
NOBODY = 65534


@pytest.fixture
def open_folder(artefacts):
    """Folder with copies of all artefacts that another user may read."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o755)
        shutil.copytree(artefacts, folder, dirs_exist_ok=True)
        os.chmod(folder, 0o755)
        yield Path(folder)


@ONLY_ROOT
def test_another_user_is_told_what_may_not_be_opened(open_folder, killed):
    (open_folder / "others").mkdir()
    os.chmod(open_folder / "others", 0o777)
    for hidden, command in HIDDEN:
        path = open_folder / hidden
        mode = path.stat().st_mode
        path.chmod(0)
        done = killed(shlex.split(command), open_folder, 0, user=NOBODY)
        path.chmod(mode)
        assert done["status"] == 2, (hidden, done)
        assert done["stderr"].lower().count("permission denied") == 1, (hidden, done)


@ONLY_ROOT
def test_what_can_only_be_read_is_refused_before_any_work(open_folder, killed):
    """A new output in a folder of others, and the artefacts of others, whose commands would resume or replace them."""
    (open_folder / "closed").mkdir()
    distinct = {" ".join(itertools.takewhile(lambda word: word[0] != "-", line)): line for line in WRITERS.values()}
    commands = {name: with_out(command, "closed/new/out") for name, command in distinct.items()}
    before = {path: path.stat().st_mtime_ns for path in open_folder.rglob("*")}
    for name, command in [*commands.items(), *COMMANDS.items()]:
        done = killed(command, open_folder, 0, user=NOBODY)
        message = done["stderr"]
        assert (done["status"], message.count("\n")) == (2, 1), (name, done)
        assert message.startswith("error: cannot write"), (name, message)
        assert "Permission denied" in message, (name, message)
    assert {path: path.stat().st_mtime_ns for path in open_folder.rglob("*")} == before


@pytest.mark.parametrize("flag", ["--run", "--data"])
def test_names_that_are_too_long(workplace, capsys, flag):
    workplace()
    command = {"--run": "encoder", "--data": "prepared"} | {flag: "a" * 300}
    words = [word for pair in command.items() for word in pair]
    assert main(["recommend", *words, "--users", "1"]) == 2
    assert "error: " in capsys.readouterr().err
