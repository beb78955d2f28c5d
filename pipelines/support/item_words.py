"""Settings and opening of models that read the words of items: new items, cold ones, queries."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.errors import InputError
from recsys_bert.retrieval.cold_config import ColdItemsConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.retrieval.recommender import Recommender


@dataclass(frozen=True, kw_only=True)
class ItemWordsConfig:
    """Settings of models that read the words of items."""

    item_vectors: Path | None = None
    """Folder that `item-vectors` wrote: text vectors of the log's items, for new and cold items and for words. A fusion
    with text has its own."""

    text_encoder: Path | None = None
    """Text encoder that those vectors were made with, if by one: it encodes new texts."""

    cold_items: Literal["none", "nearest-text"] = "none"
    """Items of the log without training events: left as the run has them, or nearest-text: each gets the mean of the
    learned vectors of its nearest trained items by text."""

    new_items: Path | None = None
    """Table of items that come in for this call, without retraining: item_id and the text columns that the log was
    prepared with, in any format that `prepare` reads. Rows that cannot be used are counted."""

    cold: ColdItemsConfig = field(default_factory=ColdItemsConfig)
    """Vectors of cold and of new items."""

    def __post_init__(self) -> None:
        if self.cold != ColdItemsConfig() and self.cold_items == "none" and self.new_items is None:
            raise InputError(
                "cold.… are settings of cold and new items, and there are none: pass --cold-items nearest-text or "
                "--new-items."
            )


def load_texts(config: ItemWordsConfig, run: Path, dataset: "ClickDataset") -> "ItemVectors | None":
    """Text vectors of a log's items, with what encodes new texts; None without a folder.

    Raises:
        InputError: They cannot be read, or are of another log; or a text encoder without vectors by one.
    """
    folder, source, own = config.item_vectors, None, run / "score_fusion" / "text"
    if config.text_encoder is not None:
        folder = folder or (own if own.is_dir() else None)
        if folder is None:
            raise InputError("text_encoder has no effect without the vectors that it made; pass --item-vectors.")
        from pipelines.support.text_sources import text_source

        source = text_source("encoder", config.text_encoder)
    if folder is None:
        return None
    from recsys_bert.item_texts.vector_files import load_item_vectors

    return load_item_vectors(folder, dataset, source)


def open_with_words(
    config: ItemWordsConfig, run: Path, data: Path, index: Path | None = None
) -> "tuple[Recommender, list[Any]]":
    """Open a run with text vectors, and put cold and new items in.

    Args:
        config: The settings.
        run: The run.
        data: The prepared log.
        index: Index to search; it takes the items for this call, its folder stays.

    Returns:
        The recommender, and the ids of the new items that were put in.

    Raises:
        InputError: See ``Recommender.load`` and ``put_items``.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.retrieval.recommender import Recommender

    dataset = open_dataset(data)
    recommender = Recommender.load(run, dataset, index, item_vectors=load_texts(config, run, dataset))
    if config.cold_items == "nearest-text":
        recommender.put_cold_items(config=config.cold)
    ids: list[Any] = []
    if config.new_items is not None:
        rows, _ = recommender.put_items(config.new_items, config=config.cold)
        ids = recommender.dataset.ids(rows).to_list()
    return recommender, ids
