"""Check of a prepared folder: no held-out event has reached vocabulary, counts or features."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.prepare.catalogue import Catalogue
from recsys_bert.clicks.prepare.events import chunks
from recsys_bert.clicks.prepare.side_tables import Feature
from recsys_bert.clicks.prepare.splits import training_mask


def check_no_leak(
    histories: Histories,
    catalogue: Catalogue,
    features: dict[str, list[Feature]],
    cut: tuple[int, int] | None,
) -> dict[str, Any]:
    """Recount the written histories and compare.

    Args:
        histories: As written.
        catalogue: Vocabulary and cold items.
        features: Encoded columns of ``items`` and ``users``.
        cut: First seconds of validation and of test, if the split is by time.

    Returns:
        The checks, for the manifest.

    Raises:
        AssertionError: Something leaked; this is a defect of the program and not of the log.
    """
    counts = np.zeros(catalogue.n_rows, np.int64)
    trained = np.zeros(histories.n_users, bool)
    latest, earliest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    for users, part in chunks(histories.offsets):
        mask = training_mask(histories.offsets, histories.train_end, users, part)
        counts += np.bincount(histories.items[part][mask], minlength=len(counts))
        trained[users] = histories.train_end[users] > histories.offsets[users]
        if cut:
            times = histories.times[part]
            latest = max(latest, int(times[mask].max(initial=latest)))
            earliest = min(earliest, int(times[~mask].min(initial=earliest)))
    vocabulary = catalogue.vocabulary
    first = vocabulary.first_item
    _require(np.array_equal(counts[first : vocabulary.size], vocabulary.counts[first:]), "counts of the vocabulary")
    new = first + catalogue.n_inherited
    _require(bool((vocabulary.counts[new:] > 0).all()), "items without a training event")
    _require(not counts[vocabulary.size :].any(), "cold items in training")
    if cut:
        _require(latest < cut[0] <= earliest, "training events after the cut")
    known = counts > 0
    for role, mask in (("items", known), ("users", trained)):
        for feature in features.get(role, []):
            _require(_only_trained(feature, mask), f"values of the {role} feature {feature.name!r}")
    return {"checked": ["counts", "vocabulary", "features", *(["times"] if cut else [])], "leaks": 0}


def _only_trained(feature: Feature, trained: NDArray[np.bool_]) -> bool:
    """True if every value with a code of its own that is not inherited occurs on a trained row."""
    codes = pl.Series(feature.codes[trained].ravel()).unique().to_numpy()
    new = FIRST_VALUE + feature.n_inherited
    return int((codes >= new).sum()) == len(feature.values) - feature.n_inherited


def _require(holds: bool, subject: str) -> None:
    if not holds:
        raise AssertionError(f"held-out events reached training: {subject}. Please report this log's settings.")
