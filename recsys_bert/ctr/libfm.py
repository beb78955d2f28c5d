"""libFM files whose rows are one-hot fields: ``label index:1 index:1 …``."""

from pathlib import Path

import numpy as np
import polars as pl

from recsys_bert.errors import InputError


def read_libfm(path: Path, fields: Path | None = None) -> pl.DataFrame:
    """Read a file in which every row has one feature of every field.

    Args:
        path: The file.
        fields: Tab-separated table with columns field, value, index. None: the position in the row is the field.

    Returns:
        ``label`` (Int64) and one Int32 column with the feature's index a field: named as in ``fields`` or
        ``field_0`` and so on.

    Raises:
        InputError: Rows of different lengths, values other than 1, or an index of a field at another position.
    """
    try:
        text = pl.read_csv(path, has_header=False, new_columns=["row"], separator="\n", quote_char=None, glob=False)[
            "row"
        ]
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    words = text.str.strip_chars().str.split(" ")
    lengths = words.list.len()
    shortest, width = (int(n) for n in np.percentile(lengths.to_numpy(), (0, 100))) if len(text) else (0, 0)
    if shortest != width or width < 2:
        raise InputError(
            f"{path.name}: rows have {shortest} to {width} words; libfm files are read where every row has a label and "
            "one feature of every field. Give other data as CSV or Parquet."
        )
    flat = words.explode()
    table = {"label": _integers(flat.gather_every(width), path)}
    for position in range(1, width):
        column = flat.gather_every(width, position)
        not_one = column.filter(~column.str.ends_with(":1"))
        if len(not_one):
            raise InputError(f"{path.name}: feature {not_one[0]!r} is not 'index:1'; only one-hot features are read.")
        table[f"field_{position - 1}"] = _integers(column.str.strip_suffix(":1"), path).cast(pl.Int32)
    frame = pl.DataFrame(table)
    return frame if fields is None else _named(frame, fields, path)


def _integers(text: pl.Series, path: Path) -> pl.Series:
    values = text.str.strip_prefix("+").cast(pl.Int64, strict=False)
    if values.null_count():
        raise InputError(f"{path.name}: {text.filter(values.is_null())[0]!r} is not an integer.")
    return values


def _named(frame: pl.DataFrame, fields: Path, path: Path) -> pl.DataFrame:
    """Name columns by the field that all their indices belong to."""
    try:
        table = pl.read_csv(fields, separator="\t", infer_schema=False, quote_char=None, glob=False)
        names, index = table["field"], table["index"].cast(pl.Int64)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{fields} cannot be read as columns field, value, index: {error}.") from error
    known = names.unique(maintain_order=True)
    codes = {name: code for code, name in enumerate(known.to_list())}
    field_of = np.full(int(index.max()) + 1 if len(index) else 1, -1)  # type: ignore[arg-type]
    field_of[index.to_numpy()] = names.replace_strict(codes).to_numpy()
    renamed: dict[str, str] = {}
    for column in frame.columns[1:]:
        values = frame[column].to_numpy()
        inside = (values >= 0) & (values < len(field_of))
        owners = np.unique(field_of[values[inside]])
        if not inside.all() or len(owners) != 1 or owners[0] < 0:
            raise InputError(f"{path.name}: {column} has features of several fields, or of none, by {fields.name}.")
        renamed[column] = str(known[int(owners[0])])
    if len(set(renamed.values())) < len(renamed):
        raise InputError(f"{path.name}: two positions in the row hold features of the same field, by {fields.name}.")
    return frame.rename(renamed)
