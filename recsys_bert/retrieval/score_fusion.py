"""Score fusion of trained rankers with co-occurrence counts, with recency and with text.

The score of an item is ``⟨user, item⟩ + weight · log(1 + share / smoothing)``; ``share`` is its share in the training
events that followed the user's last items. In translation this is shallow fusion (Gulcehre et al. 2015,
https://arxiv.org/abs/1503.03535): a language model's log probability is added at decoding time. Items that never
followed gain nothing, so only those that did are scored again. For several rankers ``⟨user, item⟩`` is the mean.

Recency adds a gain that is the same for all users (see ``recency``). It is one more number of every item's vector, so
exact search and indexes find the items that it lifts. So do they with text: ``weight · ⟨user text, item text⟩``, the
former the decayed mean of the last items' text vectors, are further numbers of both vectors (see ``text_histories``).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.item_texts.item_vectors import ItemVectors
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.ensemble import Ensemble
from recsys_bert.retrieval.exact import Allowed, pair_products
from recsys_bert.retrieval.ranker import AroundRanker, Lists, Ranker
from recsys_bert.retrieval.text_histories import TextGains, item_side
from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker
from recsys_bert.retrieval.untrained import PopularityRanker, TextRanker

Ints = NDArray[np.int64]

_QUERIES = 512
_DENSE = 32  # one pair in this many cells: then the product of all is quicker than pair by pair


class ScoreFusion(AroundRanker):
    """Ranker that adds gains from co-occurrence and from recency to a model's inner products.

    Args:
        ranker: The trained model, or several as an ``Ensemble``.
        counts: Fitted on the same log; None adds none.
        weight: Factor on gains from counts, above 0; 1 puts a share on the scale of a softmax model's probabilities.
        smoothing: Share at which an item gains ``weight · log 2``, above 0; about the probability that the model gives
            to an item it does not expect.
        recent: Gain of each row from recency, ``[rows]``; None adds none.
        texts: Text vectors of the catalogue, and the weighting of their products; None adds none.
        name: In tables.

    Raises:
        InputError: ``weight`` or ``smoothing`` is not above 0.
    """

    def __init__(
        self,
        ranker: Ranker,
        counts: CoOccurrence | None,
        *,
        weight: float = 1.0,
        smoothing: float = 0.001,
        recent: NDArray[np.float32] | None = None,
        texts: tuple[ItemVectors, TextGains] | None = None,
        name: str = "score fusion",
    ) -> None:
        if not (0 < weight < np.inf and 0 < smoothing < np.inf):
            raise InputError(f"the fusion's weight is {weight} and its smoothing {smoothing}; both must be above 0.")
        self.ranker, self.counts, self.weight, self.smoothing, self.name = ranker, counts, weight, smoothing, name
        self.recent, self.texts = recent, texts
        self.first_item, self.reranks = ranker.first_item, counts is not None

    def around(self, ranker: Ranker, rows: NDArray[np.integer], texts: NDArray[np.float32]) -> "ScoreFusion":
        """The same fusion of a model that ranks further items.

        Args:
            ranker: The model.
            rows: Rows of the further items ``[m]``; they gain nothing from recency.
            texts: Their text vectors ``[m, dim]``, of this fusion's kind where it adds text.
        """
        n_rows = ranker.shape[0]
        recent = None if self.recent is None else np.pad(self.recent, (0, n_rows - len(self.recent)))
        vectors = None if self.texts is None else (self.texts[0].with_rows(rows, texts, n_rows), self.texts[1])
        scale = {"weight": self.weight, "smoothing": self.smoothing}
        return ScoreFusion(ranker, self.counts, **scale, recent=recent, texts=vectors, name=self.name)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        rows, dim = self.ranker.shape
        return rows, dim + (self.recent is not None) + (0 if self.texts is None else self.texts[0].dim)

    @property
    def item_length(self) -> float | None:
        """Item length of the model; None with recency or text."""
        return self.ranker.item_length if self.recent is None and self.texts is None else None

    def item_vectors(self) -> NDArray[np.float32]:
        """Item vectors of the model, then the gain from recency, then the text vector, ``[rows, d]``."""
        return self.items_of_model(self.ranker.item_vectors())

    def items_of_model(self, items: NDArray[np.float32]) -> NDArray[np.float32]:
        """Item vectors of the model as those of this ranker."""
        parts = [items] if self.recent is None else [items, self.recent[:, None]]
        parts += [] if self.texts is None else [item_side(self.texts[0], len(items))]
        return items if len(parts) == 1 else np.hstack(parts)

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """User vectors of the model, then 1 for recency, then the weighted text of the history, ``[n, d]``."""
        return self.users_of_model(self.ranker.user_vectors(queries), queries)

    def users_of_model(self, users: NDArray[np.float32], queries: Queries) -> NDArray[np.float32]:
        """User vectors of the model as those of this ranker."""
        parts = [users] if self.recent is None else [users, np.ones((len(users), 1), np.float32)]
        parts += [] if self.texts is None else [self.texts[1].users(self.texts[0], queries)]
        return users if len(parts) == 1 else np.hstack(parts)

    def gains(self, queries: Queries, query: Ints, row: Ints) -> NDArray[np.float32] | None:
        """Gains of pairs from counts, ``[pairs]``."""
        if self.counts is None:
            return None
        gains = np.zeros(len(query), np.float32)
        for part in _parts(len(queries)):
            inside = np.flatnonzero((query >= part.start) & (query < part.stop))
            gained_query, gained_row, gain = self._gains(queries[part])
            table = sparse.csr_array((gain, (gained_query, gained_row)), shape=(part.stop - part.start, self.shape[0]))
            gains[inside] = table[query[inside] - part.start, row[inside]]
        return gains

    def rerank(
        self,
        lists: Lists,
        users: NDArray[np.float32],
        queries: Queries,
        *,
        items: NDArray[np.float32] | None,
        exclude_seen: bool,
        allowed: Allowed | None = None,
    ) -> Lists:
        """Merge the best by inner product with the items that gain; exact where ``lists`` is.

        An item without gain is among the best k only if it is among the best k by inner product.
        """
        if self.counts is None:
            return lists
        listed, items = lists[0], self.item_vectors() if items is None else items
        rows, scores = np.full(listed.shape, -1, np.int32), np.full(listed.shape, -np.inf, np.float32)
        for part in _parts(len(queries)):
            query, row, score = self._candidates(listed[part], users[part], items, queries[part], exclude_seen, allowed)
            order = np.lexsort((row, -score, query))
            query, row, score = query[order], row[order], score[order]
            rank = np.arange(len(query)) - np.searchsorted(query, query)
            best = rank < listed.shape[1]
            rows[part.start + query[best], rank[best]] = row[best]
            scores[part.start + query[best], rank[best]] = score[best]
        return rows, scores

    def _candidates(
        self,
        listed: NDArray[np.int32],
        users: NDArray[np.float32],
        items: NDArray[np.float32],
        part: Queries,
        exclude_seen: bool,
        allowed: Allowed | None,
    ) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Query, row and score of listed items and of those whose gain may lift them into the list, each pair once."""
        query, row, gain = self._gains(part)
        if exclude_seen:
            seen = part.seen()
            unseen = ~np.isin(query << 32 | row, seen[0] << 32 | seen[1])
            query, row, gain = query[unseen], row[unseen], gain[unseen]
        if allowed is not None:
            query, row, gain = query[allowed[row]], row[allowed[row]], gain[allowed[row]]
        score = _products(users, items, query, row) + gain
        listed_query, rank = np.nonzero(listed >= 0)
        listed_row = listed[listed_query, rank].astype(np.int64)
        plain = _products(users, items, listed_query, listed_row)
        last = np.full(len(part), -np.inf, np.float32)  # of the list, where it is full: the best are at least as good
        full = rank == listed.shape[1] - 1
        last[listed_query[full]] = plain[full]
        high = score >= last[query]
        query, row = np.concatenate([query[high], listed_query]), np.concatenate([row[high], listed_row])
        score = np.concatenate([score[high], plain])
        _, first = np.unique(query << 32 | row, return_index=True)  # with its gain where it is both
        return query[first], row[first], score[first]

    def _gains(self, part: Queries) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Query, row and gain of the items that followed the last items in training."""
        assert self.counts is not None
        counted = self.counts.scores(part)
        total = np.repeat(counted.sum(axis=1), np.diff(counted.indptr))
        gain = self.weight * np.log1p(counted.data / total / self.smoothing)
        query, row = np.repeat(np.arange(len(part)), np.diff(counted.indptr)), counted.indices.astype(np.int64)
        known = row < self.shape[0]  # the model may be older than the counts
        return query[known], row[known], gain[known].astype(np.float32)


def without_gains(ranker: Ranker) -> Ranker:
    """Ranker whose vectors say what is alike: the model inside a score fusion, its texts where nothing is trained."""
    if not isinstance(ranker, ScoreFusion):
        return ranker
    if ranker.texts is not None and isinstance(ranker.ranker, PopularityRanker):
        vectors, gains = ranker.texts
        return TextRanker(vectors, ranker.first_item, last=gains.last, decay=gains.decay, name=ranker.name)
    return ranker.ranker


def recent_gains(ranker: Ranker) -> NDArray[np.float32] | None:
    """Gain of each row from recency, ``[rows]``; None where the ranker has none."""
    return ranker.recent if isinstance(ranker, ScoreFusion) else None


def one_ranker(rankers: Sequence[Ranker], name: str = "ensemble") -> Ranker:
    """Ensemble of several rankers; a single one as it is."""
    return rankers[0] if len(rankers) == 1 else Ensemble(rankers, name)


def _parts(n: int) -> Iterator[slice]:
    for start in range(0, n, _QUERIES):
        yield slice(start, min(n, start + _QUERIES))


def _products(users: NDArray[np.float32], items: NDArray[np.float32], query: Ints, row: Ints) -> NDArray[np.float32]:
    """Inner products of pairs, ``[pairs]``."""
    if len(query) * _DENSE > len(users) * len(items):
        cells: NDArray[np.float32] = (users @ items.T)[query, row]
        return cells
    return pair_products(users, items, query, row)


def own_texts(ranker: Ranker) -> ItemVectors | None:
    """Text vectors that a score fusion adds, or that its model reads; None where there are none."""
    if isinstance(ranker, ScoreFusion):
        return own_texts(ranker.ranker) if ranker.texts is None else ranker.texts[0]
    return ranker.item_texts if isinstance(ranker, TwoTowerRanker | EncoderRanker) else None
