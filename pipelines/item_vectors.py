"""Text vectors of a log's items."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_bert.item_texts.config import ItemVectorsConfig


@dataclass(frozen=True, kw_only=True)
class Config(ItemVectorsConfig):
    """Turn the words of items into one vector an item: TF-IDF, word vectors, a text encoder, or ready vectors.

    `fuse --text` takes the folder, and whatever reads items by their text.
    """

    data: Path
    """Folder that `prepare` wrote, with words of the items (`--item-features.text title`)."""

    out: Path
    """Folder to write; earlier item vectors there are replaced."""

    other_data: tuple[Path, ...] = ()
    """Further prepared logs whose words the map is fitted on, too: `pretrain --item-vectors --other-data` reads all of
    them in one space then."""

    source: Path | None = None
    """For ``encoder``: run of a text task, its encoder, or a Hugging Face folder. For ``words``: a file of word
    vectors; none trains some on the items' texts. For ``ready``: a Parquet file with ids and vectors, or an npy file
    with ids beside it."""

    json: bool = False
    """Print the counts as JSON on stdout."""


def run(config: Config) -> dict[str, Any]:
    """Make the vectors and write them.

    Returns:
        Width and counts.

    Raises:
        InputError: See ``recsys_bert.stages.item_vectors``.
    """
    from pipelines.support.text_sources import text_source
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.item_vectors import item_vectors

    dataset = open_dataset(config.data)
    source = None if config.source is None else text_source(config.by, config.source)
    vectors = item_vectors(dataset, source=source, others=config.other_data, out=config.out, config=config)
    summary = {"by": config.by, "dim": vectors.dim, **vectors.counts}
    if config.json:
        print(json.dumps(summary))
    return summary
