"""Choice of a score fusion's settings on validation."""

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
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
from recsys_bert.retrieval.text_histories import TextGains
from recsys_bert.retrieval.untrained import PopularityRanker
from recsys_bert.retrieval.validation import drawn_queries, list_metrics

if TYPE_CHECKING:
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.stages.fuse_config import FuseConfig

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
    text: TextGains | None = None
    """Gains from text; None adds none."""
    popularity: float | None = None
    """Weight of popularity where no run is given; None beside runs."""
    metrics: dict[str, float] = field(default_factory=dict, compare=False)
    """On validation."""

    @property
    def of_vectors(self) -> tuple[Recency | None, TextGains | None, float | None]:
        """The settings that are in vectors; those of counts are not."""
        return self.recency, self.text, self.popularity

    def as_dict(self) -> dict[str, Any]:
        """Plain values in one level, as ``tried`` of a summary holds them."""
        nested = {
            f"{name}_{key}": value
            for name, part in (("recent", self.recency), ("text", self.text))
            for key, value in ({} if part is None else asdict(part)).items()
        }
        popularity = {} if self.popularity is None else {"popularity_weight": self.popularity}
        counts = {"weight": self.weight, "smoothing": self.smoothing, "half_life": self.half_life}
        return {**counts, **nested, **popularity, **self.metrics}


class FusionSearch:
    """Tries settings of counts, then recency and text beside the best so far and without counts.

    Text and the two settings of its histories are tried one after the other; where text is of use, counts are tried
    again beside it, and so is popularity where there is no run.

    Args:
        config: The settings to try.
        dataset: The log.
        ranker: The trained model; None: popularity.
        vectors: Text vectors; None: no text.

    Raises:
        InputError: Nothing is held out for validation, and there are several settings of counts, text or popularity.
    """

    def __init__(
        self,
        config: "FuseConfig",
        dataset: ClickDataset,
        ranker: Ranker | None,
        vectors: "ItemVectors | None" = None,
    ) -> None:
        self.config, self.dataset, self.vectors = config, dataset, vectors
        self._model = ranker
        self.queries = drawn_queries(dataset, config.validation_users, config.seed, config.target_types, config.targets)
        half_lives = config.half_lives if dataset.has_times else ()
        self.of_counts = list(product((None, *half_lives), config.weights, config.smoothings))
        self.of_recency = _recencies(config) if dataset.has_times else []
        self._counts: dict[float | None, CoOccurrence] = {}
        for half_life, *_ in self.of_counts:
            self._unfitted(half_life)  # settings that do not fit are refused before the counting
        self.first = Fusion(popularity=None if ranker is not None else config.popularity_weights[0])
        if not len(self.queries):
            self._check_single()

    def _check_single(self) -> None:
        """Without validation, one setting each can be taken."""
        pairs = [(weight, smoothing) for _, weight, smoothing in self.of_counts]
        several = [("pairs", len(set(pairs)), "weight and one smoothing")]
        if self.vectors is not None:
            several.append(("settings of text", len(_texts(self.config)), "text_weight, text_last and text_decay"))
        if self._model is None:
            several.append(("popularity_weights", len(self.config.popularity_weights), "of them"))
        for name, n, remedy in several:
            if n > 1:
                raise InputError(
                    f"nothing is held out for validation in {self.dataset.folder}, so {n} {name} cannot be told apart. "
                    f"Give one {remedy}, as chosen on a log that holds something out."
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

    def model_of(self, fusion: Fusion) -> Ranker:
        """The trained model, or popularity by the weight of a configuration."""
        return PopularityRanker(self.dataset, fusion.popularity or 1.0) if self._model is None else self._model

    def ranker_of(self, fusion: Fusion, name: str = "score fusion") -> Ranker:
        """The model with the gains of a configuration; the model alone where it adds none."""
        model = self.model_of(fusion)
        counts = self.counts(fusion.half_life) if fusion.weight else None
        recent = None if fusion.recency is None else fusion.recency.gains(self.dataset, model.shape[0])
        texts = None if fusion.text is None or self.vectors is None else (self.vectors, fusion.text)
        if counts is None and recent is None and texts is None:
            return model
        scale = {"weight": fusion.weight, "smoothing": fusion.smoothing or 1.0} if counts is not None else {}
        return ScoreFusion(model, counts, **scale, recent=recent, texts=texts, name=name)

    def tried(self) -> list[Fusion]:
        """Every configuration with its metrics, the model alone first; the single one of each without validation."""
        if not len(self.queries):
            weight, smoothing = self.of_counts[0][1:] if self.of_counts else (0.0, None)
            recency = self.of_recency[0] if self.of_recency else None
            text = _texts(self.config)[0] if self.vectors is not None else None
            return [self.first, replace(self.first, weight=weight, smoothing=smoothing, recency=recency, text=text)]
        search = _Validation(self, self.queries, None if self.config.seen else self.queries.seen())
        done = [search.measured(self.first)]
        search.tries("counts", done, (replace(done[0], **self._counts_of(*one)) for one in self.of_counts))
        bases = [done[0], best_fusion(done)][: len(done)]
        search.tries("recency", done, (replace(one, recency=recency) for recency in self.of_recency for one in bases))
        if self.vectors is not None:
            self._try_texts(search, done)
        if self._model is None:
            best = best_fusion(done)
            search.tries("popularity", done, (replace(best, popularity=w) for w in self.config.popularity_weights))
        return done

    def _try_texts(self, search: "_Validation", done: list[Fusion]) -> None:
        """Weights of text beside the best so far, and alone; its history; then counts beside the best of those."""
        texts, best = _texts(self.config), best_fusion(done)
        start = texts[len(texts) // 2]
        weights = [replace(start, weight=weight) for weight in self.config.text_weights]
        search.tries("text", done, (replace(one, text=text) for text in weights for one in {done[0], best}))
        best = best_fusion(done)
        if best.text is None:
            return
        weight = best.text.weight
        search.tries("text histories", done, (replace(best, text=one) for one in texts if one.weight == weight))
        best = best_fusion(done)
        search.tries("counts", done, (replace(best, **self._counts_of(*one)) for one in self.of_counts))
        best = best_fusion(done)
        if best.text is not None:
            texts = [replace(best.text, weight=weight) for weight in self.config.text_weights]
            search.tries("text", done, (replace(best, text=text) for text in texts))

    def _counts_of(self, half_life: float | None, weight: float, smoothing: float) -> dict[str, Any]:
        return {"half_life": half_life, "weight": weight, "smoothing": smoothing}


class _Validation:
    """Vectors of the validation users and of all items, computed once."""

    def __init__(self, search: FusionSearch, queries: "Queries", seen: Any) -> None:
        self.search, self.queries, self.seen = search, queries, seen
        model = search.model_of(search.first)
        self.users, self.items = model.user_vectors(queries), model.item_vectors()
        self.targets = queries.targets()
        self._last: tuple[Any, NDArray[np.float32], NDArray[np.float32], Lists] | None = None

    def tries(self, name: str, done: list[Fusion], fusions: Iterable[Fusion]) -> None:
        """Measure what is not in ``done`` yet, and append it there."""
        new = [one for one in dict.fromkeys(fusions) if one not in done]
        with Progress(f"trying {name}", len(new), "settings") as progress:
            for fusion in new:
                done.append(self.measured(fusion))
                progress.advance(1)

    def _vectors(self, fusion: Fusion, ranker: Ranker) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        users = self.users
        if fusion.popularity is not None:
            users = np.full_like(users, fusion.popularity)
        if not isinstance(ranker, ScoreFusion):
            return users, self.items
        return ranker.users_of_model(users, self.queries), ranker.items_of_model(self.items)

    def measured(self, fusion: Fusion) -> Fusion:
        """Metrics of a configuration; vectors and the best by them are computed once for all counts beside them."""
        if self._last is None or self._last[0] != fusion.of_vectors:
            plain = self.search.ranker_of(replace(fusion, weight=0.0))
            users, items = self._vectors(fusion, plain)
            depth = min(_K, len(items) - plain.first_item)
            self._last = (
                fusion.of_vectors,
                users,
                items,
                search_vectors(plain, users, items, self.queries, depth, self.seen),
            )
        _, users, items, lists = self._last
        counted = self.search.ranker_of(replace(fusion, recency=None, text=None))  # those are in the vectors
        lists = counted.rerank(lists, users, self.queries, items=items, exclude_seen=self.seen is not None)
        return replace(fusion, metrics=list_metrics(lists[0], self.targets, counted.first_item, _K))


def best_fusion(tried: list[Fusion]) -> Fusion:
    """The configuration with the highest NDCG that adds something; the first of equals."""
    return max(tried[1:] or tried, key=_quality)


def _quality(fusion: Fusion) -> float:
    return fusion.metrics.get(f"ndcg@{_K}", 0.0)


def _texts(config: "FuseConfig") -> list[TextGains]:
    settings = product(config.text_weights, config.text_lasts, config.text_decays)
    return [TextGains(weight=weight, last=last, decay=decay) for weight, last, decay in settings]


def _recencies(config: "FuseConfig") -> list[Recency]:
    kernels: list[tuple[Kernel, float]] = [("half_life", days) for days in config.recent_half_lives]
    kernels += [("window", days) for days in config.recent_windows]
    return [
        Recency(kernel=kernel, days=days, weight=weight, smoothing=smoothing)
        for (kernel, days), weight, smoothing in product(kernels, config.recent_weights, config.recent_smoothings)
    ]
