"""Lists of items as commands print or write them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.support.outputs import write_frame
from recsys_bert.errors import InputError
from recsys_bert.terminal import printable

if TYPE_CHECKING:
    import polars as pl


def print_lists(
    frame: "pl.DataFrame",
    summary: dict[str, Any],
    out: Path | None,
    as_json: bool,
    *,
    reason: str = "no more unseen items are left",
) -> dict[str, Any]:
    """Write the lists, or print them as a table or as one JSON object.

    Args:
        frame: As ``Recommender.recommend`` makes it.
        summary: Counts and settings of the lists: ``asked`` and ``k`` among them.
        out: File to write instead of printing.
        as_json: Print one JSON object; with ``out`` it holds the counts only.
        reason: Reason for short lists, for the message.

    Returns:
        ``summary`` with the number of ``short_lists``.

    Raises:
        InputError: ``out`` cannot be written.
    """
    k = summary["k"]
    n_short = summary["asked"] - int((frame["rank"] == k).sum())
    summary = summary | {"short_lists": n_short}
    if n_short:
        print(f"{n_short:,} lists are shorter than {k}: {reason}.", file=sys.stderr)
    if out is not None:
        write_frame(frame, out)
        print(f"{frame.height:,} lines in {out}", file=sys.stderr)
    if as_json:
        print(json.dumps(summary | ({} if out is not None else {"results": _grouped(frame)}), ensure_ascii=False))
    elif out is None:
        print(_table(frame), end="")
    return summary


def _grouped(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    key, once = frame.columns[0], [name for name in ("source",) if name in frame.columns]
    return [
        {key: part[key][0], **{name: part[name][0] for name in once}, "items": part.drop(key, "rank", *once).to_dicts()}
        for part in frame.partition_by(key, maintain_order=True)
    ]


def _cell(value: Any) -> str:
    return "" if value is None else printable(str(value), one_line=True)


def _table(frame: "pl.DataFrame") -> str:
    """Plain text, one block a query."""
    import polars as pl

    key, listed, lines = frame.columns[0], frame.columns[2], []
    texts = [name for name in (key, listed, "title") if name in frame.columns]
    frame = frame.with_columns(pl.Series(name, [_cell(value) for value in frame[name]], pl.String) for name in texts)
    width = max(map(len, frame[listed]), default=1)
    for part in frame.partition_by(key, maintain_order=True):
        source = part["source"][0] if "source" in part.columns else "history"
        reasons = {"features": "by features", "popular": "popular items", "query": "by the words alone"}
        by = f" (no events: {reasons[source]})" if source in reasons else ""
        lines.append(f"{key.removesuffix('_id')} {part[key][0]}{by}")
        for line in part.iter_rows(named=True):
            title = f"  {line['title'] or ''}" if "title" in line else ""
            lines.append(f"  {line['rank']:>3}  {line[listed]:<{width}}  {line['score']:>9.4f}{title}".rstrip())
    return "\n".join(lines) + "\n"


def check_replaceable(out: Path) -> None:
    """Refuse to put an index over other files.

    Raises:
        InputError: ``out`` is a file, or a folder that holds other things than an index, or other things as well.
    """
    from recsys_bert.checksums import NAME as CHECKSUMS
    from recsys_bert.files import check_nothing_lost

    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "index.json").is_file()):
        raise InputError(f"{out} is there and is no item index. Choose another --out, or remove it.")
    if out.is_dir():
        names = ("index.json", "index.faiss", "rows.npy", "put.npz", "live_items", CHECKSUMS)
        check_nothing_lost(out, names, "an item index")
        if (out / "live_items").is_dir():
            print(f"the items that were put into {out} are not in the new index; put them in again.", file=sys.stderr)
