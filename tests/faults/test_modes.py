"""Artefacts have the mode that the umask allows; a file that may not be opened is called so."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.commands import COMMANDS
from safetensors.torch import save_file

from pipelines.cli import main
from recsys_bert.files import replacing

ROOT = Path(__file__).parents[2]


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
AS_ANOTHER_USER = """
import os, shlex, sys, traceback
sys.path.insert(0, sys.argv[1])
from pipelines.cli import main
from faults.test_modes import HIDDEN
for command in dict(HIDDEN).values():
    assert main(shlex.split(command)) == 0  # all is imported: the other user may not read this Python
for hidden, command in HIDDEN:
    mode = os.stat(hidden).st_mode
    os.chmod(hidden, 0)
    os.seteuid(65534)
    print("case", hidden, file=sys.stderr)
    try:
        print("status", main(shlex.split(command)), file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    os.seteuid(0)
    os.chmod(hidden, mode)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_what_may_not_be_opened(artefacts):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o755)
        subprocess.run(["cp", "-r", *map(str, artefacts.iterdir()), folder], check=True)
        Path(folder, "others").mkdir(mode=0o777)
        os.chmod(Path(folder, "others"), 0o777)
        code = [sys.executable, "-c", AS_ANOTHER_USER, str(ROOT)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
        done = subprocess.run(code, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    cases = done.stderr.split("case ")[1:]
    assert len(cases) == len(HIDDEN), done.stderr
    for case in cases:
        assert "status 2" in case, case
        assert case.lower().count("permission denied") == 1, case


@pytest.mark.parametrize("flag", ["--run", "--data"])
def test_names_that_are_too_long(workplace, capsys, flag):
    workplace()
    command = {"--run": "encoder", "--data": "prepared"} | {flag: "a" * 300}
    words = [word for pair in command.items() for word in pair]
    assert main(["recommend", *words, "--users", "1"]) == 2
    assert "error: " in capsys.readouterr().err
