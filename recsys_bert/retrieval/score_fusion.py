"""Score fusion of trained rankers with co-occurrence counts.

The score of an item is ``⟨user, item⟩ + weight · log(1 + share / smoothing)``; ``share`` is its share in the training
events that followed the user's last items. In translation this is shallow fusion (Gulcehre et al. 2015,
https://arxiv.org/abs/1503.03535): a language model's log probability is added at decoding time. Items that never
followed gain nothing, so only those that did are scored again. For several rankers ``⟨user, item⟩`` is the mean.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.ensemble import Ensemble
from recsys_bert.retrieval.exact import Allowed
from recsys_bert.retrieval.ranker import Lists, Ranker, full_ranking
from recsys_bert.training.config import Precision

Ints = NDArray[np.int64]

_QUERIES = 512
_DENSE = 32  # one pair in this many cells: then the product of all is quicker than pair by pair
_PAIRS = 1 << 17  # multiplied at a time


class ScoreFusion:
    """Ranker that adds co-occurrence gains to a model's inner products.

    Args:
        ranker: The trained model, or several as an ``Ensemble``.
        counts: Fitted on the same log.
        weight: Factor on the gains, above 0; 1 puts a share on the scale of a softmax model's probabilities.
        smoothing: Share at which an item gains ``weight · log 2``, above 0; about the probability that the model gives
            to an item it does not expect.
        name: In tables.

    Raises:
        InputError: ``weight`` or ``smoothing`` is not above 0.
    """

    reranks = True

    def __init__(
        self, ranker: Ranker, counts: CoOccurrence, *, weight: float, smoothing: float, name: str = "score fusion"
    ) -> None:
        if not (0 < weight < np.inf and 0 < smoothing < np.inf):
            raise InputError(f"the fusion's weight is {weight} and its smoothing {smoothing}; both must be above 0.")
        self.ranker, self.counts, self.weight, self.smoothing, self.name = ranker, counts, weight, smoothing, name
        self.first_item = ranker.first_item

    @property
    def precision(self) -> Precision:
        """Precision of the model."""
        return self.ranker.precision

    @precision.setter
    def precision(self, value: Precision) -> None:
        self.ranker.precision = value

    @property
    def reads_times(self) -> bool:
        """True iff the model reads timestamps."""
        return self.ranker.reads_times

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        return self.ranker.shape

    @property
    def item_length(self) -> float | None:
        """Item length of the model."""
        return self.ranker.item_length

    def item_vectors(self) -> NDArray[np.float32]:
        """Item vectors of the model, ``[rows, d]``."""
        return self.ranker.item_vectors()

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """User vectors of the model, ``[n, d]``."""
        return self.ranker.user_vectors(queries)

    def gains(self, queries: Queries, query: Ints, row: Ints) -> NDArray[np.float32]:
        """Gains of pairs from counts, ``[pairs]``."""
        gains = np.zeros(len(query), np.float32)
        for part in _parts(len(queries)):
            inside = np.flatnonzero((query >= part.start) & (query < part.stop))
            gained_query, gained_row, gain = self._gains(queries[part])
            table = sparse.csr_array((gain, (gained_query, gained_row)), shape=(part.stop - part.start, self.shape[0]))
            gains[inside] = table[query[inside] - part.start, row[inside]]
        return gains

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking."""
        return full_ranking(self, queries, k, exclude_seen)

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
        counted = self.counts.scores(part)
        total = np.repeat(counted.sum(axis=1), np.diff(counted.indptr))
        gain = self.weight * np.log1p(counted.data / total / self.smoothing)
        query, row = np.repeat(np.arange(len(part)), np.diff(counted.indptr)), counted.indices.astype(np.int64)
        known = row < self.shape[0]  # the model may be older than the counts
        return query[known], row[known], gain[known].astype(np.float32)


def save_score_fusion(
    folder: Path, target: Path, runs: Sequence[Path], score_fusion: ScoreFusion | None, about: dict[str, Any]
) -> None:
    """Write references to runs, the co-occurrence counts and the settings of the fusion.

    Args:
        folder: Folder to make.
        target: Final path of the folder.
        runs: Folders of the trained runs; kept relative to ``target``, so that all can move together.
        score_fusion: Has the counts; None is the mean of the runs alone.
        about: Kept beside the settings: ``prepared``, the log's fingerprint, and results.
    """
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {"runs": [os.path.relpath(run, target) for run in runs]}
    if score_fusion is not None:
        sparse.save_npz(folder / "after.npz", score_fusion.counts.after)
        counts = {name: getattr(score_fusion.counts, name) for name in ("last", "window", "decay", "most")}
        settings |= {"weight": score_fusion.weight, "smoothing": score_fusion.smoothing, "counts": counts}
    write_json(folder / "config.json", settings | about)


def is_score_fusion(run: Path) -> bool:
    """True iff a run folder holds a score fusion."""
    return (run / "score_fusion" / "config.json").is_file()


def trained_runs(run: Path) -> list[Path]:
    """Trained runs: those that a score fusion refers to, or the run itself.

    Raises:
        InputError: The fusion's settings are damaged, or of an older version.
    """
    if not is_score_fusion(run):
        return [run]
    path = run / "score_fusion" / "config.json"
    settings = read_json(path)
    if not isinstance(settings, dict) or "runs" not in settings:
        raise InputError(f"{path} names no runs: it is damaged or of an older version. Make the score fusion again.")
    return [Path(os.path.normpath(path.parent / member)) for member in settings["runs"]]


def refer_to(run: Path, runs: Sequence[str]) -> None:
    """Let a score fusion refer to other folders of the same runs, relative to ``run/score_fusion``."""
    path = run / "score_fusion" / "config.json"
    write_json(path, read_json(path) | {"runs": list(runs)})


def load_score_fusion(run: Path, rankers: Sequence[Ranker], dataset: ClickDataset) -> Ranker:
    """Load ``run/score_fusion`` around its trained runs.

    Args:
        run: Folder of ``fuse``.
        rankers: Those of ``trained_runs``, loaded.
        dataset: The log.

    Raises:
        InputError: It is damaged, or of another vocabulary.
    """
    folder = run / "score_fusion"
    settings = read_json(folder / "config.json")
    dataset.known_to(settings["prepared"])
    ranker = one_ranker(rankers, run.name)
    if "counts" not in settings:
        return ranker
    counts = CoOccurrence(**settings["counts"])
    try:
        counts.after = sparse.csr_array(sparse.load_npz(folder / "after.npz"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / 'after.npz'} is damaged: {error}. Make the score fusion again.") from error
    return ScoreFusion(ranker, counts, weight=settings["weight"], smoothing=settings["smoothing"], name=run.name)


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
    products = np.empty(len(query), np.float32)
    for start in range(0, len(query), _PAIRS):
        part = slice(start, start + _PAIRS)
        products[part] = np.einsum("nd,nd->n", users[query[part]], items[row[part]])
    return products
