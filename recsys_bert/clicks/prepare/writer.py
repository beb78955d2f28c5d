"""Writer of a prepared folder; the manifest comes last."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.manifest import NAME, Manifest
from recsys_bert.clicks.prepare.catalogue import Catalogue
from recsys_bert.clicks.prepare.config import SideFeaturesConfig, SplitConfig
from recsys_bert.clicks.prepare.events import Events, mapped
from recsys_bert.clicks.prepare.filters import Filtered
from recsys_bert.clicks.prepare.leaks import check_no_leak
from recsys_bert.clicks.prepare.log import Log
from recsys_bert.clicks.prepare.side_tables import Feature, SideTable, encode, save_features
from recsys_bert.clicks.prepare.splits import Borders
from recsys_bert.clicks.prepare.summary import cold_counts, event_counts
from recsys_bert.clicks.prepare.times import PER_SECOND
from recsys_bert.files import write_json


def write_folder(
    folder: Path,
    log: Log,
    filtered: Filtered,
    split: SplitConfig,
    borders: Borders,
    catalogue: Catalogue,
    sides: dict[str, tuple[SideTable | None, SideFeaturesConfig]],
    settings: dict[str, Any],
) -> Manifest:
    """Write all files that ``open_dataset`` reads.

    Args:
        folder: Folder to create.
        log: Log that was read.
        filtered: Remaining events.
        split: Kind of split.
        borders: Borders of the split.
        catalogue: Rows of items.
        sides: Side tables of ``items`` and ``users`` and their feature settings.
        settings: Resolved settings, for the manifest.

    Returns:
        The manifest, as written.
    """
    folder.mkdir()
    histories = write_histories(filtered.events, borders, catalogue, folder / "histories.arrow")
    catalogue.vocabulary.save(folder / "vocabulary.parquet")
    items, users = catalogue_table(catalogue), user_table(filtered.events)
    features = {
        "items": _features(
            items["item_id"], items["count"].to_numpy() > 0, sides["items"], catalogue.vocabulary.first_item
        ),
        "users": _features(users["user_id"], borders.train_end > filtered.events.offsets[:-1], sides["users"], 0),
    }
    for role, table, key in (("items", items, "item_id"), ("users", users, "user_id")):
        _joined(table, key, sides[role][0]).write_parquet(folder / f"{role}.parquet")
        save_features(features[role], folder / f"{role.removesuffix('s')}_features")
    cut = (filtered.cut[0] // PER_SECOND, filtered.cut[1] // PER_SECOND) if filtered.cut else None
    manifest = Manifest(
        fingerprint=_fingerprint(catalogue, features),
        has_times=log.has_time,
        has_weights=log.has_weight,
        counts=event_counts(histories, catalogue),
        filters=[log.as_filter(), *filtered.log],
        split={"kind": split.kind, "validation": split.validation, **borders.entry}
        | {"check": check_no_leak(histories, catalogue, features, cut)},
        cold=cold_counts(histories, catalogue),
        features={role: {one.name: one.counts for one in columns} for role, columns in features.items() if columns},
        side_tables={role: side.counts for role, (side, _) in sides.items() if side},
        log={
            "rows": log.rows,
            "event_types": log.event_types,
            "sha256": log.source.fingerprint(),
            "files": log.source.listing(),
        },
        config=settings,
    )
    write_json(folder / NAME, manifest.as_dict())
    return manifest


def write_histories(events: Events, borders: Borders, catalogue: Catalogue, path: Path) -> Histories:
    """Turn item codes into rows and microseconds into seconds, through raw files, into one Arrow file."""
    with open(events.folder / "rows.raw", "wb") as rows, open(events.folder / "seconds.raw", "wb") as seconds:
        for users, part in events.chunks():
            catalogue.row_of_code[events.items[part]].tofile(rows)
            if events.times is not None:
                timestamps = events.times[part] // PER_SECOND
            else:  # the position in the history stands for the time
                lengths = np.diff(events.offsets[users.start : users.stop + 1])
                timestamps = np.arange(part.start, part.stop) - np.repeat(events.offsets[users], lengths)
            timestamps.tofile(seconds)
    histories = Histories(
        items=mapped(events.folder / "rows.raw", np.int32),
        times=mapped(events.folder / "seconds.raw", np.int64),
        weights=events.weights,
        offsets=events.offsets,
        train_end=borders.train_end,
        validation_end=borders.validation_end,
    )
    histories.save(path)
    return Histories.load(path)


def catalogue_table(catalogue: Catalogue) -> pl.DataFrame:
    """``item_row``, ``item_id`` and training ``count`` of all item rows."""
    vocabulary = catalogue.vocabulary
    rows = np.arange(vocabulary.first_item, catalogue.n_rows, dtype=np.int32)
    counts = np.concatenate([vocabulary.counts[vocabulary.first_item :], np.zeros(len(catalogue.cold_ids), np.int64)])
    return pl.DataFrame({"item_row": rows, "item_id": catalogue.ids(), "count": counts})


def user_table(events: Events) -> pl.DataFrame:
    """``user_row`` and ``user_id``."""
    return pl.DataFrame({"user_row": np.arange(events.n_users, dtype=np.int64), "user_id": events.user_ids})


def _features(
    ids: pl.Series, trained: Any, side: tuple[SideTable | None, SideFeaturesConfig], first: int
) -> list[Feature]:
    table, config = side
    return encode(table, config, ids, trained, first) if table else []


def _joined(table: pl.DataFrame, key: str, side: SideTable | None) -> pl.DataFrame:
    if side is None:
        return table
    columns = side.table.select(pl.all().gather(side.rows(table[key])))
    renamed = {name: f"{name}_side" for name in columns.columns if name in table.columns}
    return pl.concat([table, columns.rename(renamed)], how="horizontal")


def _fingerprint(catalogue: Catalogue, features: dict[str, list[Feature]]) -> str:
    """Hash of the meaning of item rows and feature codes."""
    digest = hashlib.sha256(catalogue.vocabulary.fingerprint.encode())
    for role, columns in features.items():
        for feature in columns:
            digest.update(f"\n{role} {feature.name}\n".encode())
            digest.update("\n".join(feature.values.to_list()).encode())
    return digest.hexdigest()[:16]
