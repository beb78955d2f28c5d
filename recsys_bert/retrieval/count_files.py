"""Co-occurrence counts on disk; a file from a stranger neither fills the memory nor points outside of the catalogue."""

import zipfile
from pathlib import Path

import numpy as np
from scipy import sparse

from recsys_bert.errors import InputError

_MOST_RATIO = 200  # bytes in memory a byte on disk; counts have under 10
_FREE = 1 << 20  # bytes that may be empty space


def save_counts(path: Path, counts: sparse.csr_array) -> None:
    """Write counts ``[rows, rows]``, compressed."""
    sparse.save_npz(path, counts)


def load_counts(path: Path, n_rows: int) -> sparse.csr_array:
    """Load what ``save_counts`` wrote.

    Args:
        path: The file.
        n_rows: Rows of the catalogue, at most; counts of an older log have fewer.

    Raises:
        InputError: It is damaged, unpacks to far more than its size, is of other rows, or points outside of them.
    """
    try:
        _check_size(path)
        counts = sparse.csr_array(sparse.load_npz(path))
        counts.check_format(full_check=True)
    except (OSError, ValueError, KeyError, TypeError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"{path} is damaged: {error}. Make the score fusion again.") from error
    rows, columns = counts.shape
    if rows != columns or rows > n_rows or not np.isfinite(counts.data).all() or (counts.data < 0).any():
        raise InputError(
            f"{path} holds counts [{rows}, {columns}], and the log has {n_rows} rows; counts are [rows, rows], finite "
            "and not below 0. Make the score fusion again."
        )
    return counts


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _FREE + _MOST_RATIO * path.stat().st_size:
        raise ValueError(f"its {path.stat().st_size:,} bytes unpack to {unpacked:,}")
