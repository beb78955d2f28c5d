"""Put items into an index by their text, or remove some, at once."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.support.item_words import ItemWordsConfig, open_with_words
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from recsys_bert.retrieval.recommender import Recommender


@dataclass(frozen=True, kw_only=True)
class Config(ItemWordsConfig):
    """Put items into an index by their text, without retraining, or remove some.

    The index of any type finds them from the next search on, and removed ones never again.
    """

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    index: Path
    """Index folder that `index` wrote; it is replaced, at once and as a whole."""

    remove: tuple[str, ...] = ()
    """Items to remove: files of item ids, or COLUMN=VALUE of the items' side table, as in item_id=7."""

    rebuild: bool = False
    """Build the index again, without a list beside it and without removed items; it happens by itself when they are
    1,000 and a tenth of it."""

    json: bool = False
    """Print the counts as JSON on stdout."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new_items is None and self.cold_items == "none" and not self.remove and not self.rebuild:
            raise InputError(
                "there is nothing to do: pass --new-items, --cold-items nearest-text, --remove or --rebuild."
            )


def run(config: Config) -> dict[str, Any]:
    """Change the index.

    Returns:
        Items put in and removed, items of the index, seconds.

    Raises:
        InputError: The table or the items to remove cannot be used, or a run, log and index that do not belong
            together; the index stays as it was then.
    """
    from recsys_bert.locks import only_writer

    with only_writer(config.index):
        started = time.perf_counter()
        recommender, put = open_with_words(config, config.run, config.data, config.index)
        opened = time.perf_counter()
        n_removed = _remove(recommender, config.remove) if config.remove else 0
        if config.rebuild:
            recommender.rebuild_index()
        recommender.save_index(config.index)
    assert recommender.index is not None
    summary = {
        "put": len(put),
        "removed": n_removed,
        "items": len(recommender.index),
        "beside": recommender.index.n_put,
        "seconds": time.perf_counter() - started,
        "of_them_opening_and_putting": opened - started,
    }
    print(
        f"{len(put):,} items put in, {n_removed:,} removed; {config.index} has {len(recommender.index):,}, "
        f"{recommender.index.n_put:,} of them beside FAISS ({summary['seconds']:.1f} s)",
        file=sys.stderr,
    )
    if config.json:
        print(json.dumps(summary))
    return summary


def _remove(recommender: "Recommender", lists: tuple[str, ...]) -> int:
    """Remove the items of some lists."""
    import numpy as np

    from pipelines.support.item_filters import item_lists
    from recsys_bert.retrieval.item_filter import allowed_rows

    dataset = recommender.dataset
    left = allowed_rows(dataset, None, item_lists(dataset, lists))
    assert left is not None
    rows = np.flatnonzero(~left)
    return recommender.remove_items(dataset.ids(rows[rows >= dataset.vocabulary.first_item]))
