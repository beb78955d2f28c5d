"""Write the parts of a prepared folder."""

from pathlib import Path

import numpy as np
import polars as pl

from recsys_bert.clicks.catalogue import Catalogue
from recsys_bert.clicks.events import Events, mapped
from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.splits import Borders
from recsys_bert.clicks.times import PER_SECOND


def write_histories(events: Events, borders: Borders, catalogue: Catalogue, path: Path) -> Histories:
    """Turn item codes into rows and microseconds into seconds, through raw files, into one Arrow file."""
    with open(events.folder / "rows.raw", "wb") as rows, open(events.folder / "seconds.raw", "wb") as seconds:
        for users, part in events.chunks():
            catalogue.row_of_code[events.items[part]].tofile(rows)
            if events.times is not None:
                moments = events.times[part] // PER_SECOND
            else:  # the position in the history stands for the time
                lengths = np.diff(events.offsets[users.start : users.stop + 1])
                moments = np.arange(part.start, part.stop) - np.repeat(events.offsets[users], lengths)
            moments.tofile(seconds)
    histories = Histories(
        items=mapped(events.folder / "rows.raw", np.int32),
        times=mapped(events.folder / "seconds.raw", np.int64),
        weights=events.weights,
        offsets=events.offsets,
        train_end=borders.train_end,
        validation_end=borders.validation_end,
    )
    histories.save(path)
    return histories


def catalogue_table(catalogue: Catalogue) -> pl.DataFrame:
    """``item_row``, ``item_id`` and training ``count`` of every row that is an item."""
    vocabulary = catalogue.vocabulary
    rows = np.arange(vocabulary.first_item, catalogue.n_rows, dtype=np.int32)
    counts = np.concatenate([vocabulary.counts[vocabulary.first_item :], np.zeros(len(catalogue.cold_ids), np.int64)])
    return pl.DataFrame({"item_row": rows, "item_id": catalogue.ids(), "count": counts})


def user_table(events: Events) -> pl.DataFrame:
    """``user_row`` and ``user_id``."""
    return pl.DataFrame({"user_row": np.arange(events.n_users, dtype=np.int64), "user_id": events.user_ids})
