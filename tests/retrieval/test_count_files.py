"""Counts from a stranger: refused before they fill the memory or are read outside of their bounds."""

import io
import json
import zipfile

import numpy as np
import pytest
from scipy import sparse

from recsys_bert.checksums import write_checksums
from recsys_bert.errors import InputError
from recsys_bert.retrieval.count_files import load_counts, save_counts
from recsys_bert.retrieval.fusion_files import trained_runs

COUNTS = sparse.csr_array(np.array([[0, 2.5, 1], [0, 0, 3], [1, 0, 0]]))


def rewritten(path, **arrays):
    """The counts with other arrays."""
    save_counts(path, COUNTS)
    with np.load(path) as archive:
        members = {name: archive[name] for name in archive.files}
    np.savez_compressed(path, **members | {name: np.asarray(values) for name, values in arrays.items()})
    return path


def test_counts_come_back(tmp_path):
    save_counts(tmp_path / "after.npz", COUNTS)
    np.testing.assert_array_equal(load_counts(tmp_path / "after.npz", 3).toarray(), COUNTS.toarray())
    assert load_counts(tmp_path / "after.npz", 9).shape == (3, 3)  # of a log that has grown since


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"indices": np.array([1, 2, 2_000_000_000, 0], np.int32)}, "damaged"),
        ({"indices": np.array([1, 2, -5, 0], np.int32)}, "damaged"),
        ({"indptr": np.array([0, 2, 3, 400], np.int32)}, "damaged"),
        ({"indptr": np.array([0, 3, 2, 4], np.int32)}, "damaged"),
        ({"shape": np.array([3, 99])}, r"counts \[3, 99\]"),
        ({"shape": np.array([-1, 3])}, "damaged"),
        ({"data": np.array([1, np.nan, 3, 1])}, "finite"),
        ({"data": np.array([1, -2.0, 3, 1])}, "not below 0"),
        ({"data": np.array(["a", None, 1, 2], object)}, "damaged"),
        ({"format": np.array(b"lil")}, "damaged"),
    ],
)
def test_counts_that_point_elsewhere_are_refused(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        load_counts(rewritten(tmp_path / "after.npz", **arrays), 3)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path, block = tmp_path / "after.npz", bytes(1 << 20)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 25,)})
    save_counts(path, COUNTS)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("more.npy", "w") as file:
        file.write(header.getvalue())
        for _ in range(256):
            file.write(block)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="unpack to 268,"):
        load_counts(path, 3)


def test_counts_of_more_rows_than_the_log_are_refused(tmp_path):
    save_counts(tmp_path / "after.npz", COUNTS)
    with pytest.raises(InputError, match="the log has 2 rows"):
        load_counts(tmp_path / "after.npz", 2)


@pytest.mark.parametrize("runs", [[".."], [1], {"a": "b"}, ["../../other"]])
def test_a_fusion_that_names_itself_or_another_is_refused(tmp_path, runs):
    for name in ("run", "other"):
        (tmp_path / name / "score_fusion").mkdir(parents=True)
        (tmp_path / name / "score_fusion" / "config.json").write_text(json.dumps({"runs": runs}))
        write_checksums(tmp_path / name / "score_fusion")
    with pytest.raises(InputError, match=r"is a score fusion|must be a list of folders"):
        trained_runs(tmp_path / "run")
