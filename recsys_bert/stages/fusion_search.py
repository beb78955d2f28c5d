"""Choice of a score fusion's settings on validation."""

import sys
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress, step
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.ranker import Lists, Ranker, search_vectors
from recsys_bert.retrieval.recency import Kernel, Recency
from recsys_bert.retrieval.score_fusion import ScoreFusion
from recsys_bert.retrieval.validation import drawn_queries, list_metrics

if TYPE_CHECKING:
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.stages.fusion_config import FuseConfig

_K = 10  # length of the lists


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """One configuration of a score fusion."""

    weight: float = 0.0
    """Of the gains from counts; 0 adds none."""
    smoothing: float | None = None
    """Of the shares in counts."""
    half_life: float | None = None
    """Days after which a pair counts half as much; None counts all alike."""
    recency: Recency | None = None
    """Gains from recency; None adds none."""
    metrics: dict[str, float] = field(default_factory=dict)
    """On validation."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values in one level, as ``tried`` of a summary holds them."""
        recent = (
            {} if self.recency is None else {f"recent_{name}": value for name, value in asdict(self.recency).items()}
        )
        return {
            "weight": self.weight,
            "smoothing": self.smoothing,
            "half_life": self.half_life,
            **recent,
            **self.metrics,
        }


class FusionSearch:
    """Tries weights, smoothings and half-lives of counts, then recency beside the best of them and without counts.

    Args:
        config: The settings to try.
        dataset: The log.
        ranker: The trained model.

    Raises:
        InputError: Nothing is held out for validation, and there are several settings of counts.
    """

    def __init__(self, config: "FuseConfig", dataset: ClickDataset, ranker: Ranker) -> None:
        self.config, self.dataset, self.ranker = config, dataset, ranker
        self.queries = drawn_queries(dataset, config.validation_users, config.seed, config.target_types, config.targets)
        half_lives = config.half_lives if dataset.has_times else ()
        self.of_counts = list(product((None, *half_lives), config.weights, config.smoothings))
        self.of_recency = _recencies(config) if dataset.has_times else []
        self._counts: dict[float | None, CoOccurrence] = {}
        for half_life, *_ in self.of_counts:
            self._unfitted(half_life)  # settings that do not fit are refused before the counting
        if not len(self.queries):
            self._check_single()

    def _check_single(self) -> None:
        """Without validation, one setting each can be taken."""
        pairs = [(weight, smoothing) for _, weight, smoothing in self.of_counts]
        if len(set(pairs)) > 1:
            raise InputError(
                f"nothing is held out for validation in {self.dataset.folder}, so {len(set(pairs))} pairs cannot be "
                "told apart. Give one weight and one smoothing, as chosen on a log that holds something out."
            )
        self.of_counts = self.of_counts[:1]
        if len(self.of_recency) > 1:
            print(
                "recency is left out: nothing is held out to choose it by. Give one recent_weights and one of "
                "recent_half_lives and recent_windows to have it.",
                file=sys.stderr,
            )
            self.of_recency = []

    def counts(self, half_life: float | None) -> CoOccurrence:
        """Co-occurrence counts, fitted once for each half-life."""
        if half_life not in self._counts:
            fading = "" if half_life is None else f", half-life {half_life:g} days"
            with step(f"counting what followed what{fading}"):
                self._counts[half_life] = self._unfitted(half_life).fit(self.dataset)
        return self._counts[half_life]

    def _unfitted(self, half_life: float | None) -> CoOccurrence:
        config = self.config
        return CoOccurrence(
            last=config.last, window=config.window, decay=config.decay, most=config.most, half_life=half_life
        )

    def ranker_of(self, fusion: Fusion, name: str = "score fusion") -> Ranker:
        """The model with the gains of a configuration; the model alone where it adds none."""
        counts = self.counts(fusion.half_life) if fusion.weight else None
        recent = None if fusion.recency is None else fusion.recency.gains(self.dataset, self.ranker.shape[0])
        if counts is None and recent is None:
            return self.ranker
        scale = {"weight": fusion.weight, "smoothing": fusion.smoothing or 1.0} if counts is not None else {}
        return ScoreFusion(self.ranker, counts, **scale, recent=recent, name=name)

    def tried(self) -> list[Fusion]:
        """Every configuration with its metrics, the model alone first; the single one of each without validation."""
        if not len(self.queries):
            weight, smoothing = self.of_counts[0][1:] if self.of_counts else (0.0, None)
            recency = self.of_recency[0] if self.of_recency else None
            return [Fusion(), Fusion(weight=weight, smoothing=smoothing, recency=recency)]
        search = _Validation(self, self.queries, None if self.config.seen else self.queries.seen())
        alone = search.lists(None)
        done = [search.measured(Fusion(), alone)]
        with Progress("trying counts", len(self.of_counts), "settings") as progress:
            for half_life, weight, smoothing in self.of_counts:
                done.append(search.measured(Fusion(weight=weight, smoothing=smoothing, half_life=half_life), alone))
                progress.advance(1)
        best = [done[0], *([max(done[1:], key=_quality)] if done[1:] else [])]
        with Progress("trying recency", len(self.of_recency), "settings") as progress:
            for recency in self.of_recency:
                lists = search.lists(recency)
                for one in best:
                    fusion = Fusion(
                        weight=one.weight, smoothing=one.smoothing, half_life=one.half_life, recency=recency
                    )
                    done.append(search.measured(fusion, lists))
                progress.advance(1)
        return done


class _Validation:
    """Vectors of the validation users and of all items, computed once."""

    def __init__(self, search: FusionSearch, queries: "Queries", seen: Any) -> None:
        self.search, self.queries, self.seen = search, queries, seen
        self.users, self.items = search.ranker.user_vectors(queries), search.ranker.item_vectors()
        self.targets = queries.targets()

    def _vectors(self, ranker: Ranker) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if isinstance(ranker, ScoreFusion) and ranker.recent is not None:
            return ranker.of_model(self.users), np.column_stack([self.items, ranker.recent])
        return self.users, self.items

    def lists(self, recency: Recency | None) -> Lists:
        """The best by inner product and recency."""
        ranker = self.search.ranker_of(Fusion(recency=recency))
        users, items = self._vectors(ranker)
        depth = min(_K, len(items) - ranker.first_item)
        return search_vectors(ranker, users, items, self.queries, depth, self.seen)

    def measured(self, fusion: Fusion, lists: Lists) -> Fusion:
        """Metrics of a configuration, from the lists of its recency."""
        ranker = self.search.ranker_of(fusion)
        if fusion.weight:
            users, items = self._vectors(ranker)
            exclude = self.seen is not None
            lists = ranker.rerank(lists, users, self.queries, items=items, exclude_seen=exclude)
        values = list_metrics(lists[0], self.targets, ranker.first_item, _K)
        return Fusion(**{**{name: getattr(fusion, name) for name in _SETTINGS}, "metrics": values})


_SETTINGS = ("weight", "smoothing", "half_life", "recency")


def best_fusion(tried: list[Fusion]) -> Fusion:
    """The configuration with the highest NDCG that adds something; the first of equals."""
    return max(tried[1:] or tried, key=_quality)


def _quality(fusion: Fusion) -> float:
    return fusion.metrics.get(f"ndcg@{_K}", 0.0)


def _recencies(config: "FuseConfig") -> list[Recency]:
    kernels: list[tuple[Kernel, float]] = [("half_life", days) for days in config.recent_half_lives]
    kernels += [("window", days) for days in config.recent_windows]
    return [
        Recency(kernel=kernel, days=days, weight=weight, smoothing=smoothing)
        for (kernel, days), weight, smoothing in product(kernels, config.recent_weights, config.recent_smoothings)
    ]
