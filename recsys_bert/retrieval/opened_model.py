"""A trained ranker with its log: opened and saved, its catalogue and index changed without retraining."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset, open_dataset
from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.item_texts.opening import Opener, opening_text_encoders
from recsys_bert.retrieval.cold_config import ColdItemsConfig
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.live_catalogue import LiveCatalogue
from recsys_bert.retrieval.live_files import FOLDER, read_live_items, write_live_items
from recsys_bert.retrieval.load import copy_run, open_run
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.ranker_index import open_index
from recsys_bert.settings import make_config

if TYPE_CHECKING:
    from recsys_bert.item_texts.item_vectors import ItemVectors


class OpenedModel:
    """A ranker with its log, its index, and a catalogue into which items can be put.

    Args:
        ranker: The model.
        dataset: The log that it was trained on.
        run: Its run folder; None where it has none, as a ranker of your own.
        index: Index to search; None ranks exactly.
        summary: Results of its training.
    """

    def __init__(
        self,
        ranker: Ranker,
        dataset: ClickDataset,
        run: Path | None = None,
        *,
        index: ItemIndex | None = None,
        summary: dict[str, Any] | None = None,
    ) -> None:
        self.run, self.index, self.summary = run, index, summary or {}
        self.catalogue = LiveCatalogue(ranker, dataset, None)

    @property
    def ranker(self) -> Ranker:
        """The model, with the items that were put in."""
        return self.catalogue.ranker

    @property
    def dataset(self) -> ClickDataset:
        """The log, with the items that were put in."""
        return self.catalogue.dataset

    @classmethod
    def load(
        cls,
        run: Path | str,
        dataset: ClickDataset | Path | str,
        index: Path | str | None = None,
        *,
        item_vectors: "ItemVectors | Path | str | None" = None,
        text_encoder: "Opener | None" = None,
        allow_parts: bool = False,
    ) -> Self:
        """Open a run of ``pretrain``, ``train-retrieval`` or ``fuse``, with the items that were put into its catalogue.

        Args:
            run: Run folder, or what ``save`` wrote.
            dataset: The log that it was trained on, or its folder.
            index: Index folder to search; None ranks exactly.
            item_vectors: Text vectors of the log's items, or what ``item-vectors`` wrote: for new items and for words.
                None: those that the run itself reads, if any.
            text_encoder: Opens the text encoder that was trained with the run, for new texts: ``TextEncoder.load`` of
                nlp_tasks. None: items without a saved vector have no text.
            allow_parts: Import parts from outside (``module:Class``) that the saved settings name; their code runs.

        Raises:
            InputError: No such run, a damaged one, or one of another log; or the index is not of this run.
        """
        opened = dataset if isinstance(dataset, ClickDataset) else open_dataset(Path(dataset))
        with allowing_parts(allow_parts), opening_text_encoders(text_encoder):
            ranker = open_run(Path(run), opened)
        search_index = None if index is None else open_index(Path(index), Path(run), opened)
        model = cls(ranker, opened, Path(run), index=search_index)
        live = read_live_items((Path(run) if index is None else Path(index)) / FOLDER, ranker, opened)
        if live is not None:
            model.catalogue = LiveCatalogue(ranker, opened, None, live)
        return model if item_vectors is None else model.with_item_vectors(item_vectors)

    def with_item_vectors(self, item_vectors: "ItemVectors | Path | str") -> Self:
        """Use text vectors of the log's items from now on, for new items and for words; returns itself.

        Args:
            item_vectors: What ``recsys_bert.item_vectors`` returned, or what ``item-vectors`` wrote.

        Raises:
            InputError: They cannot be read, or are not those of this log's catalogue.
        """
        if isinstance(item_vectors, str | Path):
            from recsys_bert.item_texts.vector_files import load_item_vectors

            item_vectors = load_item_vectors(item_vectors, self.catalogue.log)
        self.catalogue = self.catalogue.with_texts(item_vectors)
        return self

    def save(self, folder: Path | str) -> None:
        """Copy the model to ``folder``, for ``load``, with the items that were put in; checkpoints stay behind.

        Raises:
            InputError: This ranker has no run folder, or something else lies there.
        """
        if self.run is None:
            raise InputError(f"{self.ranker.name} has no run folder to copy; save its model by its own means.")
        copy_run(self.run, Path(folder), self._write_live)

    def save_index(self, folder: Path | str) -> None:
        """Write the index with the items that were put in and removed; an index there is replaced.

        Raises:
            InputError: There is no index, or the folder cannot be written.
        """
        if self.index is None:
            raise InputError(f"{self.ranker.name} was opened without an index. Make one with `recsys-bert index`.")
        self.index.save(Path(folder), self._write_live)

    def _write_live(self, folder: Path) -> None:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        if not self.catalogue.live.is_empty:
            write_live_items(folder / FOLDER, self.catalogue.live, self.catalogue.log)

    def put_items(
        self, items: Any, *, config: ColdItemsConfig | None = None, **settings: Any
    ) -> tuple[NDArray[np.int32], dict[str, int]]:
        """Put items in by their text, at once and without retraining; an index takes them as well.

        Each gets the mean of the learned vectors of its nearest trained items by text, at their usual length, and its
        own text term where the model is a fusion with text. Items that the model was trained on keep their vectors.

        Args:
            items: Frame of any library, or a file: ``item_id`` and the text columns that the log was prepared with.
            config: Settings of the vectors.
            **settings: Settings by name, in place of ``config``: ``neighbours=5``.

        Returns:
            Catalogue rows of the items, and counts: items put in, and rows of the table that were not, by reason.

        Raises:
            InputError: The table cannot be read, or there are no text vectors that can encode new texts.
        """
        rows, counts = self.catalogue.put(items, make_config(ColdItemsConfig, config, settings))
        self._put_into_index(rows)
        print("; ".join(f"{name}: {n:,}" for name, n in counts.items() if n or name == "put in"), file=sys.stderr)
        return rows, counts

    def put_cold_items(self, *, config: ColdItemsConfig | None = None, **settings: Any) -> int:
        """Give the log's own items without training events vectors by their text, as ``put_items`` does.

        With ``shrinkage`` the vectors of trained items move towards those of their neighbours, too, the more the fewer
        events they have.

        Returns:
            Number of items with another vector.

        Raises:
            InputError: No item is trained and has text, or there are no text vectors.
        """
        rows, n_without = self.catalogue.put_cold(make_config(ColdItemsConfig, config, settings))
        self._put_into_index(rows)
        note = f", {n_without:,} of them without a text neighbour: at the mean of all" if n_without else ""
        print(f"{len(rows):,} items have vectors by their text{note}.", file=sys.stderr)
        return len(rows)

    def remove_items(self, items: Any) -> int:
        """Remove items from every list and from the index, at once; ``put_items`` brings them back.

        Returns:
            Their number.

        Raises:
            InputError: Some are not in the catalogue.
        """
        rows = self.catalogue.remove(items)
        if self.index is not None:
            self.index.remove(rows)
            self._renew_index()
        return len(rows)

    def _put_into_index(self, rows: Any) -> None:
        if self.index is not None and len(rows):
            self.index.put(self.ranker.item_vectors()[rows], rows)
            self._renew_index()

    def _renew_index(self) -> None:
        if self.index is None or not self.index.is_worn:
            return
        try:
            self.rebuild_index()
            print("many items were put in or removed: the index was built again.", file=sys.stderr)
        except InputError as error:
            print(f"many items were put in or removed, but the index stays as it is: {error}", file=sys.stderr)

    def rebuild_index(self) -> None:
        """Build the index again, with the items that were put in and without the removed ones.

        Raises:
            InputError: There is no index, or too few items are left for its type.
        """
        if self.index is None:
            raise InputError(f"{self.ranker.name} was opened without an index. Make one with `recsys-bert index`.")
        self.index = self.index.rebuilt(self.ranker.item_vectors())
