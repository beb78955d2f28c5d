"""Text vectors of items as one more dense feature of a log: reduced by PCA to the width that a model reads."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.dense import DenseTable
from recsys_bert.errors import InputError
from recsys_bert.item_texts.config import ItemVectorsConfig
from recsys_bert.item_texts.item_vectors import ItemVectors, fit_item_vectors
from recsys_bert.item_texts.opening import saved_encoder
from recsys_bert.item_texts.reduction import Reduction, fit_reduction
from recsys_bert.item_texts.vector_files import load_item_vectors, save_item_vectors
from recsys_bert.progress import step

TEXT = "text"
"""Name of the feature."""

FOLDER = "text_feature"
ENCODER = "encoder"
"""Folder in it of a text encoder that was trained with the model."""

WITHOUT_SOURCE = ("tfidf", "words")
"""Ways to text vectors that read the texts alone, and so can be named in place of a folder."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TextFeature:
    """Text vectors of all catalogue rows, and their map to the feature.

    Args:
        vectors: The vectors; items that came later are among them.
        reduction: PCA, fitted on the items with training events when the feature was made.
    """

    vectors: ItemVectors
    reduction: Reduction

    @cached_property
    def table(self) -> DenseTable:
        """Numbers of mean square 1 where an item has a vector, float32 ``[n_rows, width]``."""
        rows = self.reduction.project(self.vectors.rows) * np.float32(self.reduction.dim**0.5)
        return DenseTable(rows, np.asarray(rows.any(axis=1)))

    def save(self, folder: Path) -> None:
        """Write the vectors, what encodes new texts, and the map."""
        save_item_vectors(folder / "vectors", self.vectors)
        np.savez(folder / "reduction.npz", mean=self.reduction.mean, components=self.reduction.components)


def fit_text_feature(dataset: ClickDataset, text: str, width: int) -> TextFeature:
    """Make the feature.

    Args:
        dataset: The log.
        text: A way that needs no source (``tfidf``, ``words``), or a folder of item vectors.
        width: Of the feature; less where the vectors have less rank.

    Raises:
        InputError: Neither, vectors of another log, or no item with training events has a vector.
    """
    vectors = named_vectors(dataset, text)
    first, size = dataset.vocabulary.first_item, dataset.vocabulary.size
    trained = vectors.rows[first:size]
    filled = trained[trained.any(axis=1)]
    if not len(filled):
        raise InputError(f"text is {text!r}, but no item with training events has a vector by it. Leave it out.")
    reduction = fit_reduction(filled, min(width, vectors.dim), sketch=False, whiten=0.0, seed=0)
    return TextFeature(vectors, reduction)


def load_text_feature(folder: Path, dataset: ClickDataset) -> TextFeature:
    """Load what ``TextFeature.save`` wrote, for the rows of a log; new and changed texts are encoded by the same map.

    Raises:
        InputError: It is damaged, or of another log.
    """
    vectors = load_item_vectors(folder / "vectors", dataset, saved_encoder(folder / ENCODER))
    try:
        with open(folder / "reduction.npz", "rb") as file, np.load(file) as arrays:
            return TextFeature(vectors, Reduction(arrays["mean"], arrays["components"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{folder / 'reduction.npz'} cannot be read: {error}. Train the run again.") from error


def with_saved_text(dataset: ClickDataset, artefact: Path) -> ClickDataset:
    """A log with the text feature that an artefact keeps, in place of any other; the log itself where it keeps none."""
    folder = artefact / FOLDER
    if not folder.is_dir():
        return dataset
    others = {name: source for name, source in dataset.added_dense.items() if name != TEXT}
    return replace(dataset, added_dense=others).with_dense(TEXT, load_text_feature(folder, dataset))


def check_named_text(text: str) -> None:
    """Refuse text that is neither a folder nor a way that needs no source.

    Raises:
        InputError: It is neither.
    """
    if text not in WITHOUT_SOURCE and not Path(text).is_dir():
        ways = ", ".join(WITHOUT_SOURCE)
        raise InputError(f"text is {text!r}, which is no folder; give {ways}, or one that item-vectors wrote.")


def named_vectors(dataset: ClickDataset, text: str) -> ItemVectors:
    """Text vectors of a folder, or made now by the name of a way that needs no source.

    Raises:
        InputError: Neither; or they are of another log, or cannot be made.
    """
    if text in WITHOUT_SOURCE:
        with step(f"text vectors by {text}"):
            return fit_item_vectors(dataset, ItemVectorsConfig(by=text))
    check_named_text(text)
    return load_item_vectors(Path(text), dataset)
