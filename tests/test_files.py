import errno
import hashlib
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recsys_bert.errors import InputError
from recsys_bert.files import clear_folder, fingerprint, read_json, replacing, scratch_folder, write_json


def visible_and_hidden(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_a_file(tmp_path):
    target = tmp_path / "new" / "a.txt"
    for text in ("old", "new"):
        with replacing(target) as temporary:
            temporary.write_text(text)
    assert target.read_text() == "new"
    assert visible_and_hidden(target.parent) == ["a.txt"]


def test_a_folder_takes_the_place_of_a_full_folder(tmp_path):
    target = tmp_path / "model"
    for name in ("old", "new"):
        with replacing(target) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert visible_and_hidden(target) == ["new"]
    assert visible_and_hidden(tmp_path) == ["model"]


@pytest.mark.skipif(sys.platform != "linux", reason="folders are exchanged in two steps elsewhere")
def test_a_folder_is_exchanged_in_one_step(tmp_path, monkeypatch):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    monkeypatch.setattr("recsys_bert.files.os.replace", None)  # two renames, between which there is no folder
    with replacing(target) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
    assert visible_and_hidden(target) == ["new"]
    assert visible_and_hidden(tmp_path) == ["model"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_is_replaced_on_every_system(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr("recsys_bert.files._exchange", lambda *_: False)
    test_a_folder_takes_the_place_of_a_full_folder(tmp_path)


def test_neither_file_nor_folder_takes_the_place_of_the_other(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").write_text("years")
    (tmp_path / "file").write_text("old")
    with pytest.raises(InputError, match=r"the file .* a folder is there"), replacing(tmp_path / "folder") as a:
        a.write_text("new")
    with pytest.raises(InputError, match=r"cannot write .* Not a directory"), replacing(tmp_path / "file") as a:
        a.mkdir()
    assert (tmp_path / "folder" / "thesis").read_text() == "years"
    assert (tmp_path / "file").read_text() == "old"
    assert visible_and_hidden(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_folders_without_a_name_of_their_own_are_not_replaced(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"cannot write {place}: .* Choose a name below it"):
        replacing(Path(place)).__enter__()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_raising_block_leaves_the_old_artefact(tmp_path, error):
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    with pytest.raises(error), replacing(target) as temporary:
        temporary.mkdir()
        (temporary / "weights").write_text("half")
        raise error
    assert (target / "weights").read_text() == "old"
    assert visible_and_hidden(tmp_path) == ["model"]


def test_a_killed_process_leaves_the_old_artefact(tmp_path):
    target = tmp_path / "model.bin"
    target.write_text("old")
    program = (
        "import sys, time; from pathlib import Path; from recsys_bert.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as aside:\n"
        "    aside.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert target.read_text() == "old"


def test_a_parent_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*taken/out/model.*[Cc]hoose another output folder"):
        replacing(tmp_path / "taken" / "out" / "model").__enter__()


def test_a_missing_input_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match="input"), replacing(tmp_path / "out"):
        (tmp_path / "input").read_text()


def test_a_full_disk_is_a_clear_error_and_leaves_the_old_artefact(tmp_path):
    (tmp_path / "out").write_text("old")
    with pytest.raises(InputError, match=r"the disk is full .* MiB free at"), replacing(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (tmp_path / "out").read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_a_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"), replacing(tmp_path / "a") as temporary:
        temporary.write_text("x")


def test_json_is_read_as_it_was_written(tmp_path):
    value = {"name": "书", "metrics": [1, 0.5, None]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_nan_is_refused_and_the_old_json_stays(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", math.nan)
    assert read_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{}"])
def test_damaged_json_is_a_clear_error(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json cannot be read as JSON"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_a_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")


def test_fingerprint_is_sha256_of_the_contents_in_order(tmp_path):
    (tmp_path / "a").write_bytes(b"a" * 5_000_000)
    (tmp_path / "b").write_bytes(b"b")
    expected = hashlib.sha256(b"a" * 5_000_000 + b"b").hexdigest()
    assert fingerprint([tmp_path / "a", tmp_path / "b"]) == expected
    assert fingerprint([tmp_path / "b", tmp_path / "a"]) != expected


def test_what_killed_processes_left_in_a_folder_is_cleared(tmp_path):
    """Also beside files that are not written again; what lives, or is no leftover of ours, stays."""
    for name in (".data.json.abcdefg_.tmp", "inner/.a.b.12345678.tmp"):
        (tmp_path / name / "work").mkdir(parents=True)
    (tmp_path / ".data.json.tmp").mkdir()
    (tmp_path / ".file.abcdefgh.tmp").write_text("a")
    with scratch_folder(tmp_path / "mine") as alive:
        clear_folder(tmp_path)
        assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == sorted(
            [".data.json.tmp", ".file.abcdefgh.tmp", "inner", alive.name]
        )
