"""Test metrics of rankers in a comparison, user by user."""

from typing import Any

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.evaluation.ranking import per_user
from recsys_bert.stages.comparison.runs import HeldOutMetrics

_K = 10  # length of the lists, as in validation


def ranking_metrics(model: Any, dataset: ClickDataset) -> HeldOutMetrics:
    """Rank the full catalogue for every user with a test event, seen items removed: NDCG@10 and recall@10."""
    ranker = getattr(model, "ranker", model)  # a Recommender holds one
    queries, depth = Queries.of(dataset, "test"), min(_K, dataset.vocabulary.n_items)
    values = per_user(
        ranker.rank(queries, depth), queries.targets(), len(queries), (depth,), dataset.vocabulary.first_item
    )
    return HeldOutMetrics({f"{name}@{_K}": values[f"{name}@{depth}"] for name in ("ndcg", "recall")}, {})
