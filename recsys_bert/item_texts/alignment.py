"""Text vectors for the rows of another state of a log: one that grew, or whose texts changed."""

import sys
from dataclasses import replace

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.item_texts.item_vectors import ItemVectors
from recsys_bert.item_texts.texts import has_texts, text_digests, texts_of


def aligned(vectors: ItemVectors, dataset: ClickDataset) -> ItemVectors:
    """Vectors by the catalogue rows of a log, joined by item id.

    Items that came later and those whose text changed are encoded by the fitted map. Where that cannot be done, of
    ready vectors or without the encoder, the former have none and the latter that of their earlier text. Both are
    counted on stderr.

    Raises:
        InputError: None of the items is in the log, or its ids are of another type.
    """
    old_rows = dataset.rows(vectors.item_ids)
    known = old_rows >= dataset.vocabulary.first_item
    if not known.any():
        raise InputError(
            f"none of the {len(known):,} items of these vectors is in {dataset.folder}: they are of another log. Make "
            "them for this one with `recsys-bert item-vectors`."
        )
    rows = np.zeros((dataset.n_rows, vectors.dim), np.float32)
    digests = text_digests([""] * dataset.n_rows)
    rows[old_rows[known]] = vectors.rows[vectors.first_item :][known]
    digests[old_rows[known]] = vectors.digests[vectors.first_item :][known]
    later, changed = np.zeros(dataset.n_rows, np.bool_), np.zeros(dataset.n_rows, np.bool_)
    later[dataset.vocabulary.first_item :] = True
    later[old_rows[known]] = False
    if has_texts(dataset) and not vectors.way.reads_ids:
        texts = texts_of(dataset)
        has_text = np.array([bool(text) for text in texts])
        current = text_digests(texts)
        changed = ~later & (current != digests)
        again = (later | changed) & has_text
        if vectors.can_encode:
            rows[changed] = 0
            rows[again] = vectors.encode([texts[row] for row in np.flatnonzero(again)])
            digests = current
    _warn(vectors, int(later.sum()), int(changed.sum()))
    counts = {
        "items_with_vector": int(rows.any(axis=1).sum()),
        "items_that_came_later": int(later.sum()),
        "items_whose_text_changed": int(changed.sum()),
        "items_not_in_the_log_any_more": int((~known).sum()),
    }
    return replace(
        vectors, rows=rows, item_ids=dataset.items["item_id"], digests=digests, counts=counts, data=dataset.fingerprint
    )


def _warn(vectors: ItemVectors, n_later: int, n_changed: int) -> None:
    if n_later:
        treated = "their texts are encoded by the same map" if vectors.can_encode else "they have no text vector"
        print(f"{n_later:,} items came after the text vectors (by {vectors.config.by}): {treated}.", file=sys.stderr)
    if n_changed:
        treated = "encoded again by the same map" if vectors.can_encode else "the vectors are of their earlier texts"
        print(f"the texts of {n_changed:,} items changed since the text vectors: {treated}.", file=sys.stderr)
    if not vectors.can_encode and (n_later or n_changed):
        print("make the vectors again with `recsys-bert item-vectors` to have them.", file=sys.stderr)
