"""MovieLens-1M sequences without times → files that prepare reads, protocol *ml1m-known*.

``python -m pipelines.benchmarks.ml1m_known SOURCE TARGET`` reads ``sequences.tsv``, ``items.tsv`` and ``users.tsv`` of
SOURCE and writes ``log.txt`` (``user item item …``), ``items.tsv`` and ``users.tsv`` into TARGET. A user's sequence is
``history``, and ``test_item`` only where ``history_state`` is ``complete``; its last item is the test target. Prepare
it with ``--events TARGET/log.txt --items TARGET/items.tsv --item-features.multi genres``.
"""

import sys
from pathlib import Path

import polars as pl

from recsys_bert.errors import InputError
from recsys_bert.files import replacing


def convert(source: Path, target: Path) -> dict[str, int]:
    """Write the folder ``target``.

    Returns:
        Users and events written.

    Raises:
        InputError: A file or a column is missing.
    """
    try:
        table = pl.read_csv(source / "sequences.tsv", separator="\t", infer_schema=False, quote_char=None)
        complete = pl.col("history_state") == "complete"
        sequence = pl.when(complete).then(pl.concat_str("history", "test_item", separator=" ")).otherwise("history")
        lines = table.select(line=pl.concat_str("user", sequence, separator=" "))["line"]
        sides = [
            pl.read_csv(source / name, separator="\t", infer_schema=False, quote_char=None)
            for name in ("items.tsv", "users.tsv")
        ]
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{source} does not hold the three files of ml-1m: {error}") from error
    with replacing(target) as temporary:
        temporary.mkdir()
        (temporary / "log.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name, side in zip(("items.tsv", "users.tsv"), sides, strict=True):
            side.write_csv(temporary / name, separator="\t", quote_style="never")
    return {"users": len(lines), "events": int(lines.str.count_matches(" ").sum())}


if __name__ == "__main__":
    print(convert(Path(sys.argv[1]), Path(sys.argv[2])))
